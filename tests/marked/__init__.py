"""What owners planted or drew by lot, and models that are held against it: the bench's worlds of evidence by construction.

One module for each examiner that needs marks, named as it is (and `canaries_by_ranks`, because a request of canaries fixes one of two
statistics), with `make(folder)`. It writes

    folder/marks/            the opened marks, as `marks:folder/marks`
    folder/answers.parquet   recorded answers of the models
                                 'relative'                    a suspect that every test should find
                                 one named as each of CLAIMS   the relation of that name
                                 'stranger 1', ...             `STRANGERS` suspects that do not depend on the owner's randomness:
                                                               skilled, biased, constant, copies of one another
                                 'control 1', ...              `CONTROLS` unrelated models

from one fixed seed: the same files each time. Truth is by construction, because this package draws the lots.
"""

MARKS = "marks"
ANSWERS = "answers.parquet"
STRANGERS = 12
CONTROLS = 3
