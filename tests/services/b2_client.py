"""Uses a bucket of B2 with Backblaze's own library: `b2_client.py v2|v3 REALM KEY_ID KEY BUCKET`.

The two interfaces of the library speak the third and the fourth version of the API.
"""

import hashlib
import importlib
import io
import os
import sys

interface, realm, key_id, key, bucket_name = sys.argv[1:]
b2 = importlib.import_module(f"b2sdk.{interface}")
exception = importlib.import_module(f"b2sdk.{interface}.exception")

api = b2.B2Api(b2.InMemoryAccountInfo())
try:
    api.authorize_account(realm=realm, application_key_id=key_id, application_key="wrong")
    sys.exit("a wrong key was accepted")
except exception.InvalidAuthToken as error:
    print("refused", type(error).__name__)
api.authorize_account(realm=realm, application_key_id=key_id, application_key=key)
print("part", api.account_info.get_recommended_part_size())

try:
    api.get_bucket_by_name("no-such-bucket")
    sys.exit("a bucket that is not there was found")
except exception.NonExistentBucket:
    pass
bucket = api.get_bucket_by_name(bucket_name)


def fetched(version):
    kept = io.BytesIO()
    bucket.download_file_by_id(version.id_).save(kept)
    return kept.getvalue()


# A name with everything that percent-encoding is about.
name = "gopool/a b+c%20ü/workers.db"
first = bucket.upload_bytes(b"first", name, content_type="application/octet-stream", file_info={"note": "a b"})
second = bucket.upload_bytes(b"second", name)
assert first.size == 5 and first.content_type == "application/octet-stream", first
assert fetched(first) == b"first" and fetched(second) == b"second"
kept = io.BytesIO()
newest = bucket.download_file_by_name(name)
newest.save(kept)
assert kept.getvalue() == b"second" and newest.download_version.file_name == name
assert bucket.get_file_info_by_name(name).id_ == second.id_

# In parts: the last is the smallest.
size = 4 * api.account_info.get_recommended_part_size() + 17
whole = os.urandom(size)
large = bucket.upload_bytes(whole, "gopool/large.db")
assert large.size == size and fetched(large) == whole
kept = io.BytesIO()
large_again = bucket.download_file_by_name("gopool/large.db", range_=(10, 19))
large_again.save(kept)
assert kept.getvalue() == whole[10:20]
print("large", hashlib.sha1(whole).hexdigest())

# A stream of unknown length has its sum at the end.
streamed = bucket.upload_unbound_stream(io.BytesIO(b"streamed"), "gopool/streamed")
assert fetched(streamed) == b"streamed"

listed = [(version.file_name, version.id_) for version, _ in bucket.ls("gopool/", latest_only=False, recursive=True)]
expected = [(name, second.id_), (name, first.id_), ("gopool/large.db", large.id_), ("gopool/streamed", streamed.id_)]
assert listed == expected, listed
assert [version.id_ for version, _ in bucket.ls("gopool/", recursive=True)] == [second.id_, large.id_, streamed.id_]

api.delete_file_version(second.id_, second.file_name)
assert bucket.get_file_info_by_name(name).id_ == first.id_
print("done")
