// Linear algebra, matrix by matrix, through LAPACK. A row-major matrix is Fortran's transpose of
// itself: where an algorithm can be told so (triangles change names, U and Vᵀ change places)
// nothing is copied; else the matrix is transposed into scratch memory.
#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <string>
#include <vector>

#include "ir/ops/linalg.h"
#include "runtime/extern_families.h"
#include "runtime/lapack.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {
namespace {

using Views = std::span<const TensorView>;

/// The last two extents, and how many matrices there are.
struct Matrices {
  std::int64_t count = 1, rows = 0, columns = 0;
  [[nodiscard]] std::int64_t size() const { return rows * columns; }
  [[nodiscard]] std::int64_t shorter() const { return std::min(rows, columns); }
};

int fortran_int(std::int64_t extent, const char* operation, SourceLocation where) {
  if (extent > std::numeric_limits<int>::max())
    throw ShapeError(std::string(operation) + ": a matrix of extent " + std::to_string(extent) +
                         " is too large for LAPACK",
                     where);
  return static_cast<int>(extent);
}

Matrices matrices(const TensorView& x) {
  Matrices m;
  const std::size_t rank = x.shape.size();
  m.rows = x.shape[rank - 2];
  m.columns = x.shape[rank - 1];
  for (const std::int64_t extent : x.shape.first(rank - 2)) m.count *= extent;
  return m;
}

/// What one call works on, for messages.
struct Task {
  const char* operation;
  SourceLocation where;

  /// Matrix `i` of `count` cannot be worked on: `problem` follows `the matrix` or `matrix 3 of the
  /// batch`.
  [[noreturn]] void fail(std::int64_t i, std::int64_t count, const std::string& problem) const {
    const std::string which =
        count == 1 ? "the matrix" : "matrix " + std::to_string(i) + " of the batch";
    throw Error(std::string(operation) + ": " + which + ' ' + problem, where);
  }
  Matrices square(const TensorView& x) const {
    const Matrices m = matrices(x);
    if (m.rows != m.columns)
      throw ShapeError(std::string(operation) + ": matrices must be square, not " +
                           std::to_string(m.rows) + " by " + std::to_string(m.columns),
                       where);
    return m;
  }
  template <class T> const Lapack<T>& routines() const { return lapack<T>(operation, where); }
  [[nodiscard]] int extent(std::int64_t n) const { return fortran_int(n, operation, where); }
};

int leading(int extent) { return std::max(extent, 1); }

template <class T> const T* matrix(const TensorView& x, std::int64_t i, std::int64_t size) {
  return static_cast<const T*>(x.data) + i * size;
}
template <class T> T* result(const TensorView& x, std::int64_t i, std::int64_t size) {
  return static_cast<T*>(x.data) + i * size;
}

/// Calls `body(begin, end)` over the batch, several small matrices at a time. Whatever the number
/// of threads, a matrix is worked on by one, and the error of the first bad one is thrown.
template <class F> void for_matrices(const Matrices& m, std::int64_t extent, F body) {
  constexpr double worth_a_thread = 1 << 16;  // multiplications
  const double each = static_cast<double>(std::max<std::int64_t>(m.size(), 1)) *
                      static_cast<double>(std::max<std::int64_t>(extent, 1));
  parallel_for(m.count, std::max<std::int64_t>(1, static_cast<std::int64_t>(worth_a_thread / each)),
               body);
}

/// to[j, i] = from[i, j], both row-major.
template <class T, class U>
void transpose(const T* from, U* to, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      to[j * rows + i] = static_cast<U>(from[i * columns + j]);
}
template <class T> void transpose_in_place(T* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j) std::swap(x[i * n + j], x[j * n + i]);
}
template <class T> void write_identity(T* x, std::int64_t n) {
  std::fill_n(x, n * n, T{});
  for (std::int64_t i = 0; i < n; ++i) x[i * n + i] = T{1};
}

/// LAPACK's iterations may not end on NaN.
template <class T>
void demand_finite(const Task& task, const T* x, std::int64_t size, std::int64_t i,
                   std::int64_t count) {
  if (!std::all_of(x, x + size, [](T v) { return std::isfinite(v); }))
    task.fail(i, count, "has elements that are NaN or infinite");
}

template <class T> int asked(T size) { return std::max(1, static_cast<int>(size)); }

// ---- factorisations -----------------------------------------------------------------------------

template <class T> void cholesky(const Task& task, const TensorView& in, const TensorView& out) {
  const Matrices m = task.square(in);
  const int n = task.extent(m.rows), lda = leading(n);
  const auto& f = task.routines<T>();
  for_matrices(m, n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* a = matrix<T>(in, i, m.size());
      T* l = result<T>(out, i, m.size());
      for (std::int64_t r = 0; r < n; ++r)
        for (std::int64_t c = 0; c < n; ++c) l[r * n + c] = c <= r ? a[r * n + c] : T{};
      int info = 0;
      if (n > 0) f.potrf("U", &n, l, &lda, &info, 1);
      if (info > 0)
        task.fail(i, m.count,
                  "is not positive definite: its leading minor of order " + std::to_string(info) +
                      " is not");
    }
  });
}

template <class T>
void lu(const Task& task, const std::string& demand, const TensorView& in, Views out) {
  const Matrices m = matrices(in);
  const int rows = task.extent(m.rows), columns = task.extent(m.columns), lda = leading(rows);
  const auto& f = task.routines<T>();
  const Task asking{demand.c_str(), task.where};
  for_matrices(m, m.shorter(), [&](std::int64_t begin, std::int64_t end) {
    std::vector<T> a(static_cast<std::size_t>(m.size()));
    for (std::int64_t i = begin; i < end; ++i) {
      transpose(matrix<T>(in, i, m.size()), a.data(), m.rows, m.columns);
      int info = 0;
      if (m.size() > 0)
        f.getrf(&rows, &columns, a.data(), &lda, result<std::int32_t>(out[1], i, m.shorter()),
                &info);
      if (info > 0 && !demand.empty()) asking.fail(i, m.count, "is singular");
      transpose(a.data(), result<T>(out[0], i, m.size()), m.columns, m.rows);
    }
  });
}

/// Results of one matrix: the reflectors are in `a` (Fortran's order), tau beside it.
template <class T> class Qr {
 public:
  Qr(const Task& task, const Matrices& m, const std::string& mode)
      : f_(task.routines<T>()),
        m_(m),
        rows_(task.extent(m.rows)),
        columns_(task.extent(m.columns)),
        complete_(mode == "complete"),
        width_(task.extent(complete_ ? m.rows : m.shorter())),
        a_(static_cast<std::size_t>(m.rows * std::max<std::int64_t>(m.columns, width_))),
        tau_(static_cast<std::size_t>(m.shorter())) {
    const int lda = leading(rows_), k = static_cast<int>(m.shorter()), query = -1;
    int info = 0;
    T size[2] = {1, 1};
    if (m.size() > 0)
      f_.geqrf(&rows_, &columns_, a_.data(), &lda, tau_.data(), size, &query, &info);
    if (rows_ > 0 && width_ > 0)
      f_.orgqr(&rows_, &width_, &k, a_.data(), &lda, tau_.data(), size + 1, &query, &info);
    work_.resize(static_cast<std::size_t>(std::max(asked(size[0]), asked(size[1]))));
  }

  void factor(const T* matrix) {
    transpose(matrix, a_.data(), m_.rows, m_.columns);
    if (m_.size() == 0) return;
    const int lda = leading(rows_), lwork = static_cast<int>(work_.size());
    int info = 0;
    f_.geqrf(&rows_, &columns_, a_.data(), &lda, tau_.data(), work_.data(), &lwork, &info);
  }
  /// As they are: reflectors below the diagonal, R above it, and tau.
  void write_raw(T* packed, T* tau) {
    transpose(a_.data(), packed, m_.columns, m_.rows);
    std::copy(tau_.begin(), tau_.end(), tau);
  }
  void write(T* q, T* r) {
    const std::int64_t height = complete_ ? m_.rows : m_.shorter();
    for (std::int64_t i = 0; i < height; ++i)
      for (std::int64_t j = 0; j < m_.columns; ++j)
        r[i * m_.columns + j] = i <= j ? a_[static_cast<std::size_t>(j * m_.rows + i)] : T{};
    if (rows_ == 0 || width_ == 0) return;
    const int lda = leading(rows_), k = static_cast<int>(m_.shorter()),
              lwork = static_cast<int>(work_.size());
    int info = 0;
    f_.orgqr(&rows_, &width_, &k, a_.data(), &lda, tau_.data(), work_.data(), &lwork, &info);
    transpose(a_.data(), q, width_, m_.rows);
  }

 private:
  const Lapack<T>& f_;
  Matrices m_;
  int rows_, columns_;
  bool complete_;
  int width_;  // columns of Q
  std::vector<T> a_, tau_, work_;
};

template <class T>
void qr(const Task& task, const std::string& mode, const TensorView& in, Views out) {
  const Matrices m = matrices(in), first = matrices(out[0]);
  const bool raw = mode == "raw";
  const std::int64_t second = raw ? m.shorter() : matrices(out[1]).size();
  for_matrices(m, m.shorter(), [&](std::int64_t begin, std::int64_t end) {
    Qr<T> qr(task, m, mode);
    for (std::int64_t i = begin; i < end; ++i) {
      qr.factor(matrix<T>(in, i, m.size()));
      T* a = result<T>(out[0], i, first.size());
      T* b = result<T>(out[1], i, second);
      raw ? qr.write_raw(a, b) : qr.write(a, b);
    }
  });
}

/// Fortran sees Aᵀ = V S Uᵀ: what it calls U is, row by row, Vᵀ, and the other way round.
template <class T> void svd(const Task& task, bool full, const TensorView& in, Views out) {
  const Matrices m = matrices(in), u = matrices(out[0]), v = matrices(out[2]);
  const int rows = task.extent(m.columns), columns = task.extent(m.rows), lda = leading(rows),
            ldvt = leading(static_cast<int>(u.columns));
  const auto& f = task.routines<T>();
  const char* job = full ? "A" : "S";
  for_matrices(m, 4 * m.shorter(), [&](std::int64_t begin, std::int64_t end) {
    std::vector<T> a(static_cast<std::size_t>(m.size())), work(1);
    std::vector<int> iwork(static_cast<std::size_t>(8 * m.shorter()) + 1);
    const auto call = [&](std::int64_t i, int lwork) {
      int info = 0;
      f.gesdd(job, &rows, &columns, a.data(), &lda, result<T>(out[1], i, m.shorter()),
              result<T>(out[2], i, v.size()), &lda, result<T>(out[0], i, u.size()), &ldvt,
              work.data(), &lwork, iwork.data(), &info, 1);
      return info;
    };
    if (m.size() > 0) {
      call(begin, -1);
      work.resize(static_cast<std::size_t>(asked(work[0])));
    }
    for (std::int64_t i = begin; i < end; ++i) {
      if (m.size() == 0) {  // nothing to factorise; the bases are whole nevertheless
        if (full) write_identity(result<T>(out[0], i, u.size()), m.rows);
        if (full) write_identity(result<T>(out[2], i, v.size()), m.columns);
        continue;
      }
      std::copy_n(matrix<T>(in, i, m.size()), m.size(), a.data());
      demand_finite(task, a.data(), m.size(), i, m.count);
      if (call(i, static_cast<int>(work.size())) != 0)
        task.fail(i, m.count, "has singular values that the iteration did not find");
    }
  });
}

template <class T> void eigh(const Task& task, bool upper, const TensorView& in, Views out) {
  const Matrices m = task.square(in);
  const int n = task.extent(m.rows), lda = leading(n);
  if (n == 0) return;
  const auto& f = task.routines<T>();
  const char* triangle = upper ? "L" : "U";  // of the transpose
  for_matrices(m, 8 * m.rows, [&](std::int64_t begin, std::int64_t end) {
    std::vector<T> work(1);
    std::vector<int> iwork(1);
    const auto call = [&](std::int64_t i, int lwork, int liwork) {
      int info = 0;
      f.syevd("V", triangle, &n, result<T>(out[1], i, m.size()), &lda, result<T>(out[0], i, n),
              work.data(), &lwork, iwork.data(), &liwork, &info, 1, 1);
      return info;
    };
    call(begin, -1, -1);
    work.resize(static_cast<std::size_t>(asked(work[0])));
    iwork.resize(static_cast<std::size_t>(asked(iwork[0])));
    for (std::int64_t i = begin; i < end; ++i) {
      T* vectors = result<T>(out[1], i, m.size());
      std::copy_n(matrix<T>(in, i, m.size()), m.size(), vectors);
      demand_finite(task, vectors, m.size(), i, m.count);
      if (call(i, static_cast<int>(work.size()), static_cast<int>(iwork.size())) != 0)
        task.fail(i, m.count, "has eigenvalues that the iteration did not find");
      transpose_in_place(vectors, m.rows);
    }
  });
}

/// A complex pair is one column of real and one of imaginary parts.
template <class T>
void write_vectors(const std::vector<T>& columns, const std::vector<T>& imaginary,
                   std::complex<T>* to, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) {
    const bool pair = imaginary[j] != 0 && j + 1 < n;
    for (std::size_t r = 0; r < n; ++r) {
      const T re = columns[j * n + r], im = pair ? columns[(j + 1) * n + r] : T{};
      to[r * n + j] = {re, im};
      if (pair) to[r * n + j + 1] = {re, -im};
    }
    if (pair) ++j;
  }
}

template <class T> void eig(const Task& task, const TensorView& in, Views out) {
  const Matrices m = task.square(in);
  const int n = task.extent(m.rows), lda = leading(n), one = 1;
  if (n == 0) return;
  const auto& f = task.routines<T>();
  for_matrices(m, 16 * m.rows, [&](std::int64_t begin, std::int64_t end) {
    const auto size = static_cast<std::size_t>(m.size()), extent = static_cast<std::size_t>(n);
    std::vector<T> a(size), vectors(size), re(extent), im(extent), work(1);
    const auto call = [&](int lwork) {
      int info = 0;
      T unused{};
      f.geev("N", "V", &n, a.data(), &lda, re.data(), im.data(), &unused, &one, vectors.data(),
             &lda, work.data(), &lwork, &info, 1, 1);
      return info;
    };
    call(-1);
    work.resize(static_cast<std::size_t>(asked(work[0])));
    for (std::int64_t i = begin; i < end; ++i) {
      transpose(matrix<T>(in, i, m.size()), a.data(), m.rows, m.columns);
      demand_finite(task, a.data(), m.size(), i, m.count);
      if (call(static_cast<int>(work.size())) != 0)
        task.fail(i, m.count, "has eigenvalues that the iteration did not find");
      for (std::size_t j = 0; j < extent; ++j)
        result<std::complex<T>>(out[0], i, n)[j] = {re[j], im[j]};
      write_vectors(vectors, im, result<std::complex<T>>(out[1], i, m.size()), extent);
    }
  });
}

// ---- solutions ----------------------------------------------------------------------------------

/// Which matrix of an operand meets matrix `i` of the result, whose batch the operand's broadcasts
/// to. `inner`: how many of the operand's last axes are no batch.
class BatchOf {
 public:
  BatchOf(const TensorView& operand, std::size_t inner, const TensorView& out)
      : batch_(out.shape.first(out.shape.size() - 2)), steps_(batch_.size(), 0) {
    const auto own = operand.shape.first(operand.shape.size() - inner);
    std::int64_t step = 1;
    for (std::size_t k = own.size(); k-- > 0; step *= own[k])
      if (own[k] != 1) steps_[batch_.size() - own.size() + k] = step;
  }
  [[nodiscard]] std::int64_t operator()(std::int64_t i) const {
    std::int64_t at = 0;
    for (std::size_t k = batch_.size(); k-- > 0; i /= batch_[k]) at += i % batch_[k] * steps_[k];
    return at;
  }

 private:
  std::span<const std::int64_t> batch_;
  std::vector<std::int64_t> steps_;
};

/// op(A) X = B in place for a triangular A: in Fortran's eyes Xᵀ op(A)ᵀ = Bᵀ.
template <class T>
void triangular(const Lapack<T>& f, const ir::TriangularAttrs& how, const T* a, T* x, int n,
                int k) {
  if (n == 0 || k == 0) return;
  const T one = 1;
  f.trsm("R", how.upper ? "L" : "U", how.transpose ? "T" : "N", how.unitriangular ? "U" : "N", &k,
         &n, &one, a, &n, x, &k, 1, 1, 1, 1);
}

template <class T>
void solve_triangular(const Task& task, const ir::TriangularAttrs& how, Views in,
                      const TensorView& out) {
  const Matrices a = task.square(in[0]), x = matrices(out), b = matrices(in[1]);
  const int n = task.extent(a.rows), k = task.extent(x.columns);
  const BatchOf a_of(in[0], 2, out), b_of(in[1], 2, out);
  const auto& f = task.routines<T>();
  for_matrices(x, n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      T* to = result<T>(out, i, x.size());
      std::copy_n(matrix<T>(in[1], b_of(i), b.size()), x.size(), to);
      triangular(f, how, matrix<T>(in[0], a_of(i), a.size()), to, n, k);
    }
  });
}

/// LAPACK's pivots, counted from 1: row i was exchanged with row pivots[i].
void check_pivots(const Task& task, const TensorView& pivots, std::int64_t rows) {
  const auto* p = static_cast<const std::int32_t*>(pivots.data);
  for (std::int64_t i = 0; i < pivots.size(); ++i)
    if (p[i] < 1 || p[i] > rows)
      throw IndexError(std::string(task.operation) + ": pivot " + std::to_string(p[i]) +
                           " is not a row of a matrix of " + std::to_string(rows) +
                           "; they are counted from 1",
                       task.where);
}

template <class T> void exchange_rows(T* x, std::int64_t width, std::int64_t a, std::int64_t b) {
  if (a != b) std::swap_ranges(x + a * width, x + (a + 1) * width, x + b * width);
}

/// A = P L U, so A⁻¹ = U⁻¹ L⁻¹ Pᵀ and A⁻ᵀ = P L⁻ᵀ U⁻ᵀ.
template <class T>
void lu_solve(const Task& task, bool transposed, Views in, const TensorView& out) {
  const Matrices a = task.square(in[0]), x = matrices(out), b = matrices(in[2]);
  const int n = task.extent(a.rows), k = task.extent(x.columns);
  const BatchOf a_of(in[0], 2, out), pivots_of(in[1], 1, out), b_of(in[2], 2, out);
  check_pivots(task, in[1], n);
  const auto& f = task.routines<T>();
  const ir::TriangularAttrs lower{false, transposed, true}, upper{true, transposed, false};
  for_matrices(x, n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* factors = matrix<T>(in[0], a_of(i), a.size());
      const auto* pivots = matrix<std::int32_t>(in[1], pivots_of(i), n);
      T* to = result<T>(out, i, x.size());
      std::copy_n(matrix<T>(in[2], b_of(i), b.size()), x.size(), to);
      for (int r = 0; r < n && !transposed; ++r) exchange_rows(to, k, r, pivots[r] - 1);
      triangular(f, transposed ? upper : lower, factors, to, n, k);
      triangular(f, transposed ? lower : upper, factors, to, n, k);
      for (int r = n; r-- > 0 && transposed;) exchange_rows(to, k, r, pivots[r] - 1);
    }
  });
}

/// Row i of L·U is row order[i] of A.
void permutation(const Task& task, const TensorView& pivots, const TensorView& out) {
  const std::int64_t rows = out.shape.back(), given = pivots.shape.back();
  check_pivots(task, pivots, rows);
  const std::int64_t count = rows == 0 ? 0 : out.size() / rows;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto* p = matrix<std::int32_t>(pivots, i, given);
    auto* order = result<std::int64_t>(out, i, rows);
    for (std::int64_t r = 0; r < rows; ++r) order[r] = r;
    for (std::int64_t r = 0; r < given; ++r) std::swap(order[r], order[p[r] - 1]);
  }
}

template <class T>
void run(ir::ExternKind kind, const ir::Attrs& attrs, Views in, Views out, SourceLocation where) {
  if (kind == ir::ExternKind::cholesky) return cholesky<T>({"cholesky", where}, in[0], out[0]);
  if (kind == ir::ExternKind::lu)
    return lu<T>({"lu_factor", where}, attrs.get<ir::LuAttrs>().demand, in[0], out);
  if (kind == ir::ExternKind::qr)
    return qr<T>({"qr", where}, attrs.get<ir::QrAttrs>().mode, in[0], out);
  if (kind == ir::ExternKind::svd)
    return svd<T>({"svd", where}, attrs.get<ir::SvdAttrs>().full_matrices, in[0], out);
  if (kind == ir::ExternKind::eigh)
    return eigh<T>({"eigh", where}, attrs.get<ir::EighAttrs>().upper, in[0], out);
  if (kind == ir::ExternKind::eig) return eig<T>({"eig", where}, in[0], out);
  if (attrs.is<ir::SolveAttrs>())
    return lu_solve<T>({"lu_solve", where}, attrs.get<ir::SolveAttrs>().transpose, in, out[0]);
  solve_triangular<T>({"solve_triangular", where}, attrs.get<ir::TriangularAttrs>(), in, out[0]);
}

}  // namespace

void run_linalg(ir::ExternKind kind, const ir::Attrs& attrs, Views in, Views out,
                SourceLocation where) {
  if (kind == ir::ExternKind::lu && out.size() == 1)
    return permutation({"lu_permutation", where}, in[0], out[0]);
  if (in[0].dtype == DType::float32) return run<float>(kind, attrs, in, out, where);
  run<double>(kind, attrs, in, out, where);
}

}  // namespace weft::runtime
