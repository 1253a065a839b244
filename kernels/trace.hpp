// kernels/trace.hpp — what a timeline says of an operation's arguments: shapes and dtype, found by the members' names.
#pragma once

#include <string>

#include "sparsert/dtype.hpp"

namespace sparsert::backend {

/// The inside of a JSON object. A new operation needs nothing here as long as its Args speak of m, k, n, rows, cols.
template <class Args>
std::string describe(const Args& args) {
  std::string text;
  const auto name = [&](const char* key) -> std::string& {
    return text.append(text.empty() ? "\"" : ",\"").append(key).append("\":");
  };
  const auto add = [&](const char* key, auto value) { name(key).append(std::to_string(value)); };
  const auto add_dtype = [&](const char* key, DType dtype) {
    name(key).append("\"").append(to_string(dtype)).append("\"");
  };
  if constexpr (requires { args.dtype; }) add_dtype("dtype", args.dtype);
  if constexpr (requires {
                  args.from;
                  args.to;
                }) {
    add_dtype("from", args.from);
    add_dtype("to", args.to);
  }
  if constexpr (requires { args.a.nnz; }) {
    add_dtype("dtype", args.a.dtype);
    add("rows", args.a.rows);
    add("cols", args.a.cols);
    add("nnz", args.a.nnz);
  }
  if constexpr (requires { args.rows + 1; }) add("rows", args.rows);
  if constexpr (requires { args.cols + 1; }) add("cols", args.cols);
  if constexpr (requires { args.m + 1; }) add("m", args.m);
  if constexpr (requires { args.k + 1; }) add("k", args.k);
  if constexpr (requires { args.n + 1; }) add("n", args.n);
  if constexpr (requires { args.tensors.size(); }) {
    std::int64_t n = 0;
    for (const auto& tensor : args.tensors) n += tensor.n;
    add("tensors", args.tensors.size());
    add("n", n);
  }
  if constexpr (requires {
                  args.plan == nullptr;
                  args.b;
                })
    name("plan").append(args.plan != nullptr ? "true" : "false");
  return text;
}

}  // namespace sparsert::backend
