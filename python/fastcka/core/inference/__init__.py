"""Chance levels, p-values, error bars and corrections of similarities.

options     what is asked for
moments     numbers of each representation from which the null distribution of every pair follows
null        mean, standard deviation, p-values and calibrated similarities under permutation
pearson     the distribution of Pearson type III
fdr         Benjamini-Hochberg q-values
corrected   the correction for a sample of features
partial     similarities without what confounders explain
"""
