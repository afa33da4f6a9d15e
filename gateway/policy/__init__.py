"""Policy rules: who may do what, in oslo.policy's form and by that library."""
