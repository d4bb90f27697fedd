"""One module per --target; each makes a deployment package."""
