"""Workloads (tasks that models solve): one folder per workload, with modules for training, runtime and report."""
