"""The page inside Airflow; it reads through experiment_features.report and changes nothing.

app         the addresses; *_views, what each shows
access      who may see the page, and who may trigger runs
parameters  of the addresses, checked
arrivals    what Airflow knows of drops and of the parameters of a run
connection  the database, as the role features_reader
problems    what the page says when it cannot show what was asked for
state       how fresh the features are, on every view and for monitors
lines       the lines behind a user's number, from the store of parts
rendering   templates, number and time formats, headers, static files
download    CSV that is safe to open in a spreadsheet, limited in number and time
"""
