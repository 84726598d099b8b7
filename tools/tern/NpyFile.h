// NumPy's file format, for matrices of floats.
#ifndef TERN_TOOLS_TERN_NPYFILE_H
#define TERN_TOOLS_TERN_NPYFILE_H

#include <cstddef>
#include <string>

namespace tern::cli {

/// What precedes the elements of a float32 matrix, row by row: version 1.0 of the format.
std::string npyHeader(size_t rows, size_t columns);

} // namespace tern::cli

#endif
