"""Which failure of an S3 store means what: a table by the store's error codes and the driver's
classes.

Called by `bucket`, and by the documentation. No driver is imported here: its errors are known by
name.
"""

from typing import Final

from dpp_core.errors import (
    CredentialsMissingError,
    DestinationDeniedError,
    DestinationUnavailableError,
)
from dpp_extractor.guard.failures import Failure, Handling

S3: Final = (
    Failure(
        (
            "code SlowDown",
            "code ServiceUnavailable",
            "code Throttling",
            "code ThrottlingException",
            "code RequestLimitExceeded",
            "code TooManyRequests",
            "code BandwidthLimitExceeded",
            "status 429",
            "status 503",
        ),
        Handling.RETRY,
        "it asks for slower requests",
        DestinationUnavailableError,
    ),
    Failure(
        (
            "code RequestTimeout",
            "code InternalError",
            "code OperationAborted",
            "code ConditionalRequestConflict",
            "status 408",
            "status 500",
            "status 502",
            "status 504",
        ),
        Handling.RETRY,
        "it failed inside, or another operation was in the way",
        DestinationUnavailableError,
    ),
    Failure(
        ("code BadDigest", "code XAmzContentChecksumMismatch", "botocore.ChecksumError"),
        Handling.RETRY,
        "bytes were changed on the way",
        DestinationUnavailableError,
    ),
    Failure(
        ("code RequestTimeTooSkewed",),
        Handling.STOP,
        "its clock and this machine's are more than 15 minutes apart",
        DestinationDeniedError,
    ),
    Failure(
        (
            "code ExpiredToken",
            "code ExpiredTokenException",
            "code TokenRefreshRequired",
            "code InvalidAccessKeyId",
            "code InvalidToken",
            "code XAdminUserNotFound",
        ),
        Handling.REFRESH,
        "the access key or its session is not valid any more",
        DestinationUnavailableError,
    ),
    Failure(
        ("code AccessDenied", "code AllAccessDisabled", "code AccountProblem", "status 403"),
        Handling.STOP,
        "the access key may not do this",
        DestinationDeniedError,
    ),
    Failure(
        ("code SignatureDoesNotMatch", "status 401"),
        Handling.STOP,
        "the secret key does not fit the access key",
        DestinationDeniedError,
    ),
    Failure(
        ("code NoSuchBucket", "code InvalidBucketName"),
        Handling.STOP,
        "there is no such bucket",
        DestinationDeniedError,
    ),
    Failure(
        (
            "code PermanentRedirect",
            "code AuthorizationHeaderMalformed",
            "code IllegalLocationConstraintException",
            "status 301",
            "status 307",
        ),
        Handling.STOP,
        "the bucket is in another region",
        DestinationDeniedError,
    ),
    Failure(
        (
            "code KMS.DisabledException",
            "code KMS.InvalidStateException",
            "code KMS.NotFoundException",
            "code KMS.AccessDeniedException",
        ),
        Handling.STOP,
        "the bucket's encryption key cannot be used",
        DestinationDeniedError,
    ),
    Failure(
        ("code EntityTooLarge", "code InvalidObjectState", "code QuotaExceeded"),
        Handling.STOP,
        "it does not take the object",
        DestinationDeniedError,
    ),
    Failure(
        ("code InvalidArgument", "code InvalidRequest", "code MethodNotAllowed", "status 405"),
        Handling.STOP,
        "it does not take requests of this form, such as conditional writes",
        DestinationDeniedError,
    ),
    Failure(
        (
            "botocore.NoCredentialsError",
            "botocore.PartialCredentialsError",
            "botocore.CredentialRetrievalError",
        ),
        Handling.STOP,
        "there is no access key",
        CredentialsMissingError,
    ),
    Failure(
        ("botocore.SSLError",),
        Handling.STOP,
        "its certificate does not verify",
        DestinationDeniedError,
    ),
    Failure(
        ("botocore.ParamValidationError", "botocore.InvalidDNSNameError", "builtins.ValueError"),
        Handling.STOP,
        "bucket, key or endpoint is not of the form it needs",
        DestinationDeniedError,
    ),
    Failure(
        (
            "botocore.ConnectTimeoutError",
            "botocore.ReadTimeoutError",
            "botocore.HTTPClientError",
            "botocore.IncompleteReadError",
            "botocore.ResponseStreamingError",
            "botocore.ConnectionError",
        ),
        Handling.RETRY,
        "it cannot be reached, or the connection was cut",
        DestinationUnavailableError,
    ),
)
"""S3 by boto3. A code wins over a status, because stores give the same status for unlike things."""
