"""The page inside Airflow: looks through experiment_features.reporting, and changes nothing.

app         the addresses, and what each shows
access      who may look, and who may trigger
connection  the database, as the role features_reader
rendering   templates, how values are written, headers, static files
download    CSV that no spreadsheet takes for formulas
"""
