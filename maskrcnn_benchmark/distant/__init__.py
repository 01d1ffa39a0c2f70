"""Distant supervision: relation labels from a knowledge base, and what makes them less noisy.

A knowledge base (`knowledge_base`) says which predicates two classes may stand in; `labelling` turns them into relation
rows of an h5 in the VG-SGG format (`labels`), which every predictor trains on unchanged; `clip_scores` and `em` weigh
the candidates of each pair by what CLIP or a trained model sees; `quality` compares with human labels. docs/distant.md
"""
