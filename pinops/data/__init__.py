"""Files: HDF5 arrays written atomically and checked when read, data sets, and cached references.

**Data are split by blocks of samples**, which are also the unit in which they are computed,
checked and read. A random part of the training data consists of some blocks, so that files
larger than memory are read in order.
"""

from pinops.data._chaotic_systems import CHAOTIC_SYSTEMS as CHAOTIC_SYSTEMS
from pinops.data._chaotic_systems import ChaoticSystem as ChaoticSystem
from pinops.data._chaotic_systems import chaotic_contents as chaotic_contents
from pinops.data._contents import Contents as Contents
from pinops.data._contents import Layout as Layout
from pinops.data._dataset import Dataset as Dataset
from pinops.data._fidelity_families import FIDELITY_FAMILIES as FIDELITY_FAMILIES
from pinops.data._fidelity_families import FIDELITY_LEVELS as FIDELITY_LEVELS
from pinops.data._fidelity_families import fidelity_contents as fidelity_contents
from pinops.data._file_store import check_new as check_new
from pinops.data._file_store import is_ours as is_ours
from pinops.data._generate import generate as generate
from pinops.data._grid import GridSpec as GridSpec
from pinops.data._grid import step_of as step_of
from pinops.data._hdf5 import DataFileError as DataFileError
from pinops.data._hdf5 import attributes_of as attributes_of
from pinops.data._hdf5 import opened as opened
from pinops.data._hdf5 import read_arrays as read_arrays
from pinops.data._hdf5 import replacing as replacing
from pinops.data._hdf5 import said as said
from pinops.data._hdf5 import write_arrays as write_arrays
from pinops.data._mesh_families import MESH_FAMILIES as MESH_FAMILIES
from pinops.data._mesh_families import NODES as NODES
from pinops.data._mesh_families import mesh_contents as mesh_contents
from pinops.data._of_family import as_dataset as as_dataset
from pinops.data._of_family import bounds_of as bounds_of
from pinops.data._of_family import check_data as check_data
from pinops.data._of_family import check_values as check_values
from pinops.data._of_family import family_of as family_of
from pinops.data._of_family import problem_in as problem_in
from pinops.data._of_family import problems as problems
from pinops.data._of_family import solved as solved
from pinops.data._pdebench import from_pdebench as from_pdebench
from pinops.data._reference_cache import cache_folder as cache_folder
from pinops.data._reference_cache import cached_reference as cached_reference
from pinops.data._rows import inputs_in as inputs_in
from pinops.data._run_file import described_by as described_by
from pinops.data._run_file import read_description as read_description
from pinops.data._run_file import read_run as read_run
from pinops.data._run_file import write_description as write_description
from pinops.data._run_file import write_run as write_run
from pinops.data._schema import Anything as Anything
from pinops.data._schema import Table as Table
from pinops.data._schema import check as check
from pinops.data._schema import shown as shown
from pinops.data._sensors import as_sensors as as_sensors
from pinops.data._sensors import readings as readings
from pinops.data._store import BLOCK as BLOCK
from pinops.data._versions import environment as environment
from pinops.data._versions import versions as versions
from pinops.data._weights import read_weights as read_weights
from pinops.data._weights import weights_as_bytes as weights_as_bytes
from pinops.data.readers import describe_file as describe_file
from pinops.data.readers import read_contents as read_contents
