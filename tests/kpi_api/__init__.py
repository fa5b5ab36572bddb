"""The KPI API and its page, over rows that the oracle computes."""
