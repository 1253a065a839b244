// bench/peers/eigen_plugin.cpp — Eigen: its row-major sparse and its dense product.
#include <Eigen/Dense>
#include <Eigen/Sparse>
#include <string>

#include "bench/peers/plugin.hpp"

namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ColumnMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
using Sparse = Eigen::SparseMatrix<float, Eigen::RowMajor, std::int32_t>;

const std::string kVersion = std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
                             std::to_string(EIGEN_MINOR_VERSION);

void* prepare(const SparsertPeerProduct* product) { return new SparsertPeerProduct(*product); }

void release(void* state) { delete static_cast<SparsertPeerProduct*>(state); }

// C = A·B with B and C seen in their own layout; one column is a vector.
template <class A>
void multiply(const A& a, const SparsertPeerProduct& p) {
  Eigen::setNbThreads(p.threads);
  if (p.n == 1) {
    const Eigen::Map<const Eigen::VectorXf> x(p.b, p.k);
    Eigen::Map<Eigen::VectorXf> y(p.c, p.m);
    y.noalias() = a * x;
  } else if (p.column_major != 0) {
    const Eigen::Map<const ColumnMajor> b(p.b, p.k, p.n);
    Eigen::Map<ColumnMajor> c(p.c, p.m, p.n);
    c.noalias() = a * b;
  } else {
    const Eigen::Map<const RowMajor> b(p.b, p.k, p.n);
    Eigen::Map<RowMajor> c(p.c, p.m, p.n);
    c.noalias() = a * b;
  }
}

void run_sparse(void* state) {
  const auto& p = *static_cast<SparsertPeerProduct*>(state);
  multiply(Eigen::Map<const Sparse>(p.m, p.k, p.nnz, p.row_offsets, p.columns, p.values), p);
}

void run_dense(void* state) {
  const auto& p = *static_cast<SparsertPeerProduct*>(state);
  multiply(Eigen::Map<const RowMajor>(p.dense, p.m, p.k), p);
}

}  // namespace

const SparsertPeer* sparsert_peer(int index) {
  static const SparsertPeer sparse{"Eigen sparse", kVersion.c_str(), 0, &prepare, &run_sparse, &release};
  static const SparsertPeer dense{"Eigen", kVersion.c_str(), 1, &prepare, &run_dense, &release};
  return index == 0 ? &sparse : index == 1 ? &dense : nullptr;
}
