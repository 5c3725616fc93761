"""Settings: declared once, where they are, with their type and bounds; checked, described and read
everywhere else.

A setting is a field of an Equinox module or a dataclass whose metadata hold a `Rule`.  Two
instances::

    class MLP(Architecture):
        width: int = whole(20, most=100_000)
        activation: Callable[[Array], Array] = function(jnp.tanh)

`check_settings` raises one sentence for the first value that its rule does not allow,
`describe_settings` writes the rules for help texts, `parsed` and `from_description` make objects of
text and of JSON, `check_fits` refuses what no memory holds before it is allocated, and
`quick`, `reused` and `lasting` compile what runs a few times, now and then, and long.
"""

from pinops.settings._declared import Flag as Flag
from pinops.settings._declared import Function as Function
from pinops.settings._declared import Instance as Instance
from pinops.settings._declared import Number as Number
from pinops.settings._declared import OneOf as OneOf
from pinops.settings._declared import Rule as Rule
from pinops.settings._declared import Several as Several
from pinops.settings._declared import Table as Table
from pinops.settings._declared import Whole as Whole
from pinops.settings._declared import check_settings as check_settings
from pinops.settings._declared import flag as flag
from pinops.settings._declared import function as function
from pinops.settings._declared import instance as instance
from pinops.settings._declared import number as number
from pinops.settings._declared import one_of as one_of
from pinops.settings._declared import require as require
from pinops.settings._declared import rule_of as rule_of
from pinops.settings._declared import setting as setting
from pinops.settings._declared import shown as shown
from pinops.settings._declared import whole as whole
from pinops.settings._memory import check_fits as check_fits
from pinops.settings._memory import memory_of_machine as memory_of_machine
from pinops.settings._memory import numbers_in as numbers_in
from pinops.settings._memory import shape_of as shape_of
from pinops.settings._memory import share_of_memory as share_of_memory
from pinops.settings._programs import lasting as lasting
from pinops.settings._programs import quick as quick
from pinops.settings._programs import reused as reused
from pinops.settings._written import Allowed as Allowed
from pinops.settings._written import allowed_in as allowed_in
from pinops.settings._written import describe_settings as describe_settings
from pinops.settings._written import from_description as from_description
from pinops.settings._written import parsed as parsed
from pinops.settings._written import source_of as source_of
