"""The workload `progression`: one number from measurements; quality falls with the error."""
