"""The ladder of approximations: every route to the true gradient beside the exact one."""
