"""What AWS takes: units, prices, assumed times, and the schedules of those who look again."""
