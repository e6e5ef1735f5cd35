"""What few repetitions and autocorrelated series can show: intervals, bootstrap, stationarity."""
