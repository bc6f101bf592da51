"""What commands do without a running gateway: doctor, directory, a cron job by hand."""
