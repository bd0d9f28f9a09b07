"""The page inside Airflow; it reads through experiment_features.report and changes nothing.

app         the addresses, and what each shows
access      who may see the page, and who may trigger runs
connection  the database, as the role features_reader
rendering   templates, number and time formats, headers, static files
download    CSV that is safe to open in a spreadsheet
"""
