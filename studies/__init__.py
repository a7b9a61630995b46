"""Scripts that produce every calibration number printed anywhere."""
