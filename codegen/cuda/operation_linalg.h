// Factors of matrices and triangular systems on a device. The processor leaves them to LAPACK,
// whose order of operations is not known here: results agree within a small multiple of the dtype's
// epsilon times the terms' magnitudes (|L| |Lᵀ| of a Cholesky factor, |L| |U| of LU with the same
// pivots; a solution's residual likewise), as LAPACK's own do with exact ones. Where two candidates
// for a pivot differ by less, another may be chosen. QR, eigenvalues and singular values: what is
// stated in their files, tests/cuda/linalg_test.cpp has the numbers.
#pragma once

#include "codegen/cuda/operation_writer.h"

namespace weft::codegen {

std::string_view linalg_prelude();
/// Householder's reflectors; after the former.
std::string_view reflector_prelude();

/// Rotations of pairs, in rounds where each number meets another; after the former.
std::string_view jacobi_prelude();

/// Of a buffer of matrices.
struct Matrices {
  Dim count = 1, rows, columns;
  Matrices(const OperationWriter&, std::size_t buffer);
  [[nodiscard]] Dim size() const { return rows * columns; }
  [[nodiscard]] Dim shorter() const { return min(rows, columns); }
};

/// Memory of a block's own: shared where `bytes` are few (weft_room).
struct Room {
  Dim bytes;
  [[nodiscard]] Dim scratch() const { return bytes * if_above(bytes, near); }
  static constexpr std::int64_t near = 40960;
};

/// A problem of one matrix, alone or of a batch: two lines.
std::string problem(const std::string& what, const std::string& is);
/// Those of an iteration, of which weft_report_values tells: `found` are its results.
std::string iteration_problems(const std::string& what, const std::string& found);

/// A block a matrix: of 256 threads, or 512 where the longer extent is more than 64: as many as
/// functions of doubles have registers for. `own` is that of each block.
void launch_by_size(OperationWriter&, OperationWriter::Launch, const Dim& longer, const Room& own,
                    std::string_view function, std::initializer_list<std::string> arguments);

// Writers of single kinds, after the preludes.
void qr(OperationWriter&, const std::string& mode);
void eigh(OperationWriter&, bool upper);
void svd(OperationWriter&, bool full);

}  // namespace weft::codegen
