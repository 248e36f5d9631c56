"""Jobs that people do with datasets, beside the limit that the machine sets: `python -m benchmarks.bench_<module>`."""
