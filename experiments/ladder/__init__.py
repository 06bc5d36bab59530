"""The ladder of approximations: every route to the true gradient, compared with the exact one."""
