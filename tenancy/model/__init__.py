"""The records of tenants and the rules about them: values without effects, and the errors of this package."""
