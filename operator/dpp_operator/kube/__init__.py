"""The edge to the API server, and the only home of the `kubernetes` client: raw JSON in and out."""
