"""What the figures rest on, and what they do not show: said with every one of them, by the verifier's script and by the examiner."""

SECRET = (
    "The key was secret until the batch was opened, and the owner's randomness was drawn independently of the suspect."
)
NO_OTHERS = (
    "The claimant made no commitment and considered no model that is not counted. Both are the claimant's word: whoever secretly had "
    "many stamped before the beacon could show the best, and a figure p would take about 1/p of them, each with its stamps."
)
NOT_CHOSEN = (
    "The recorded answers were not chosen among several recordings of the suspect by how they agree with the labels."
)
NOT_PROMPTED = (
    "The recorded answers are the suspect's own. Beside the prompt nothing stood before it that depends on the labels: no system prompt, "
    "no earlier turn, no text that it could look up."
)
ASSUMPTIONS = (SECRET, NO_OTHERS, NOT_CHOSEN, NOT_PROMPTED)

EXPOSURE = "The figures show exposure to the planted answers. They do not show how the exposure came about, nor who brought it about."
NOT_EXCLUDED = (
    "Not excluded: that the claimant, or somebody who had the labels, exposed the suspect. Decoys, unrelated models and the ledger "
    "would show a careless one; they do not show a careful one."
)
ABSENCE = "If nothing is seen, nothing follows: planted answers can be filtered out, diluted or trained away."
LIMITATIONS = (EXPOSURE, NOT_EXCLUDED, ABSENCE)
