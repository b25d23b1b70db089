"""How the judge ranks tables that are known to be good or bad."""
