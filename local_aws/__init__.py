"""An AWS embedded in one process: deploys a CDK cloud assembly on moto's server and adds what moto lacks."""
