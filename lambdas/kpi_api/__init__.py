"""The KPI API: reads the table `kpis` for people and programs, and serves the page that shows it."""
