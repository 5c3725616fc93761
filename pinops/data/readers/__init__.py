"""Files of others as `Contents`: formats say which arrays a file holds, layouts what they mean.

**Formats** (``_format_*.py``; ``look`` lists arrays without loading them):

| format | read through | rows |
|---|---|---|
| HDF5, MATLAB 7.3 | h5py | on demand |
| MATLAB up to 7.2 | SciPy | whole arrays |
| ``.npz``; ``.npy`` and folders of it | NumPy | whole arrays; on demand |
| NetCDF, zarr | xarray (extras ``netcdf``, ``zarr``) | on demand |
| CSV and other text | NumPy | whole |
| VTK, VTU, folders of them | meshio (extra ``mesh``) | whole |
| ``.pt``, ``.pkl``, ... | refused: reading executes what the author wrote | |

**Layouts** (``_layout_*.py``; ``matches`` looks at names and shapes, ``read`` makes `Contents`), in
the order in which they are asked:

| layout | known by |
|---|---|
| The Well | ``dimensions/time`` and ``t0_fields``, ``t1_fields``, ``t2_fields`` |
| PDEBench: diffusion-sorption, diffusion-reaction, shallow water | groups ``0000/data`` |
| PDEBench: Darcy | ``tensor`` and ``nu`` |
| PDEBench: advection, Burgers, reaction-diffusion, gases | ``tensor``, or ``density``, ``Vx`` |
| PDEBench: incompressible | ``velocity`` and ``t`` |
| files of the FNO paper | MATLAB with ``a``, ``u`` or ``coeff``, ``sol`` |
| observations | a table with columns ``x``, ``y``, ``z``, ``t``; perhaps ``sample`` |
| meshes | points with data at points or cells |
| named axes | dimensions, as of xarray |
| telling names | ``a``, ``u``, ``x``, ``t``, ``inputs/...`` in any format |

What attributes say counts more than the name of a file. Time is the first axis, and a time that is
longer by one than the snapshots is cut. Nothing is resampled. A file that fits no layout is an
error that says what is in it, and how to read it.

A new layout is one file with ``matches`` and ``read``, and one row of ``LAYOUTS``.
"""

from pinops.data.readers._table import FORMATS as FORMATS
from pinops.data.readers._table import LAYOUTS as LAYOUTS
from pinops.data.readers._table import describe_file as describe_file
from pinops.data.readers._table import read_contents as read_contents
