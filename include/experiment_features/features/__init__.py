"""Valid rows become features per user and per compound."""
