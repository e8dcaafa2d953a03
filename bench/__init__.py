"""Speed as ratios inside one run: these machines are noisy, so only neighbours in time compare."""
