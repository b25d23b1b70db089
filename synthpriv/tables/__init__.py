"""Tables in and out of files (CSV, Parquet, Arrow), cell by cell as the schema reads them.

No message here holds a cell: a table is private, its column names and its number of columns are not.
"""

from synthpriv.tables.formats import FORMATS as FORMATS
from synthpriv.tables.formats import SUFFIXES as SUFFIXES
from synthpriv.tables.formats import Format as Format
from synthpriv.tables.formats import table_format as table_format
from synthpriv.tables.reading import CHUNK_ROWS as CHUNK_ROWS
from synthpriv.tables.reading import Progress as Progress
from synthpriv.tables.reading import ShareDone as ShareDone
from synthpriv.tables.reading import read_chunks as read_chunks
from synthpriv.tables.reading import read_table as read_table
from synthpriv.tables.shape import check_shape as check_shape
from synthpriv.tables.shape import conform as conform
from synthpriv.tables.writing import write_chunks as write_chunks
from synthpriv.tables.writing import write_table as write_table
