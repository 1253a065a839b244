// kernels/kernels.hpp — the backend contract: one header for each family of operations.
//
// Everything in it is already checked: shapes agree, indices are in range, memory lives on the stream's device.
// An operation never validates, never allocates its outputs, and writes every element of them.
#pragma once

#include "kernels/contract/activation.hpp"
#include "kernels/contract/attention.hpp"
#include "kernels/contract/bsr.hpp"
#include "kernels/contract/elementwise.hpp"
#include "kernels/contract/embedding.hpp"
#include "kernels/contract/formats.hpp"
#include "kernels/contract/gradient.hpp"
#include "kernels/contract/matmul.hpp"
#include "kernels/contract/prune.hpp"
#include "kernels/contract/reduce.hpp"
#include "kernels/contract/sddmm.hpp"
#include "kernels/contract/softmax.hpp"
#include "kernels/contract/sparsify.hpp"
#include "kernels/contract/spgemm.hpp"
#include "kernels/contract/spmm.hpp"
#include "kernels/contract/spmm_transposed.hpp"
#include "kernels/contract/spmv.hpp"
#include "kernels/contract/topk.hpp"
