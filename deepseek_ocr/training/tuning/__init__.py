"""What trains: the named parts, adapters beside them, and how both become a model again."""
