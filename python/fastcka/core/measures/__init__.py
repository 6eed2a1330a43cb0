"""Measures of similarity in addition to linear CKA, in float64 by NumPy on the CPU.

measure         a measure with its options, as the argument ``measures`` takes it
table           every measure: range, invariances, cost, reference, function
members         representations as the functions take them, and what the functions return
rbf             CKA with Gaussian kernels, from tiles of the kernel matrices
neighbors       mutual k nearest neighbours and CKNNA, from panels of rows
cross_products  Procrustes, SVCCA and PWCCA
compute         all measures of a group, and their record in the provenance
"""
