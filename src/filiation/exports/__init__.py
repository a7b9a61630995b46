"""A case in forms that archives and courts' systems read, whatever becomes of this program.

    bag            a BagIt bag (RFC 8493): the case as it is, with checksums of every file
    ro_crate       RO-Crate 1.2: what each file is, and who did what and when
    cyclonedx      CycloneDX 1.6: the models, with what is claimed of their lineage apart from what was found

An export adds nothing to the evidence and takes nothing away: what counts is the case, and `filiation case verify` checks it
inside the bag as anywhere else. docs/exports.md says what an export does not carry.
"""
