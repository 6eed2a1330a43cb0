"""Chance levels, p-values and corrections of similarities.

options     what is asked for
moments     numbers of each representation from which the null distribution of every pair follows
null        mean, standard deviation, p-values and calibrated similarities under permutation
pearson     the distribution of Pearson type III
fdr         Benjamini-Hochberg q-values
products    inner products of U-centred Gram matrices
corrected   the correction for a sample of features
matched     the same for features that are the same units in all representations
partial     similarities without what confounders explain
folds       which examples the jackknife leaves out together
jackknife   standard errors and intervals over examples
blocks      blocks of examples, from labels
exchange    random permutations of the examples: of all, within blocks, or of whole blocks
permuter    CKA of all pairs under given permutations
layers      the similarity of two models, from those of their layers
null_draws  p-values and calibrated values from permuted values
permutations, permutation_result  the permutation test and its result
"""
