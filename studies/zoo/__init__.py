"""A zoo of small real language models with a known family tree.

    from studies.zoo import build

    zoo = build("test")
    zoo["base-a"]                         the Hugging Face folder of a member, with its lineage.json
    zoo.members("relative")               records: name, parents, relation, lineage_id, family, group
    zoo.relation("base-a", "lora")        'LoRA merged'; 'stranger' when nothing is shared
    zoo.group("base-a", "same-order")     'hard stranger'

`python -m studies.zoo --size test|full` builds one from the command line.
"""

from studies.zoo.builder import Zoo, build
from studies.zoo.family_tree import FamilyTree, Member, family_tree
from studies.zoo.laundering import WASHES, launder, valid_washes

__all__ = ["WASHES", "FamilyTree", "Member", "Zoo", "build", "family_tree", "launder", "valid_washes"]
