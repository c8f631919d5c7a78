"""What workloads share whose models write text: spelling, error rates, comparisons, marked errors."""
