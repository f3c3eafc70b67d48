"""Prints how many bytes a file has in a zip, packed as `sam package` packs."""

import io
import sys
import zipfile

packed = io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.write(sys.argv[1], "bootstrap")
print(packed.tell())
