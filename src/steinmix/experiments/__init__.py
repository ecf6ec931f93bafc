"""What the papers report, run again beside what one gets for nothing."""
