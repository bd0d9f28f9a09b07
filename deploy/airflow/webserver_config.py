"""Log-in and sessions of the user management (Flask-AppBuilder)."""

from flask_appbuilder.const import AUTH_DB

AUTH_TYPE = AUTH_DB
AUTH_USER_REGISTRATION = False  # accounts are made by an administrator
AUTH_RATE_LIMITED = True
AUTH_RATE_LIMIT = "10 per 20 second"
WTF_CSRF_ENABLED = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
