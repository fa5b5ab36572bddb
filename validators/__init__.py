"""What "valid" means: schemas, rules, expectation suites, verdicts and reports. No AWS call is made here."""
