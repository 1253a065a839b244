// tools/inspect.cpp — `sparsert inspect`: what a model file holds.
//
// Density needs the data, which is read one tensor at a time; --no-density reads the header only.
#include <algorithm>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sparsert/sparsert.hpp"
#include "tools/cli.hpp"

namespace sparsert::tools {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kMaxNameWidth = 72;
constexpr std::size_t kMaxCached = std::size_t{256} << 20;  // of the pool's memory between two tensors

struct Options {
  std::string path;
  LoadOptions load;
  bool json = false;
  bool no_density = false;
};

struct Row {
  const TensorInfo* tensor;
  std::uint64_t elements = 0;
  std::optional<std::uint64_t> nonzeros;
};

struct Report {
  std::vector<Row> rows;
  std::uint64_t elements = 0;
  std::uint64_t nbytes = 0;
  std::uint64_t counted = 0;  ///< elements of the tensors whose non-zeros are known
  std::uint64_t nonzeros = 0;
};

std::optional<double> density(std::uint64_t nonzeros, std::uint64_t elements) {
  if (elements == 0) return std::nullopt;
  return static_cast<double>(nonzeros) / static_cast<double>(elements);
}

std::string refusal(const TensorInfo& tensor) {
  return tensor.refusal.empty() ? tensor.dtype + " is not stored here: listed, not loaded" : tensor.refusal;
}

std::uint64_t nonzeros(const ModelFile& model, std::size_t position) {
  if (model.info().tensors[position].layout == Layout::dense) {
    return static_cast<std::uint64_t>(count_nonzero(model.read(position)));
  }
  const SparseTensor sparse = model.read_sparse(position);
  return static_cast<std::uint64_t>(std::visit([](const auto& m) { return count_nonzero(m.values()); }, sparse.matrix));
}

const char* layout_name(Layout layout) {
  switch (layout) {
    case Layout::dense: return "dense";
    case Layout::coo: return "coo";
    case Layout::csr: return "csr";
  }
  return "";
}

Report read(const ModelFile& model, bool with_density) {
  Report report;
  Progress progress("reading tensor", model.info().tensors.size());
  for (std::size_t i = 0; i < model.info().tensors.size(); ++i) {
    const TensorInfo& tensor = model.info().tensors[i];
    Row row{&tensor, static_cast<std::uint64_t>(element_count(tensor.shape)), {}};
    report.elements += row.elements;
    report.nbytes += tensor.nbytes;
    if (with_density && tensor.storage) {
      row.nonzeros = nonzeros(model, i);
      report.counted += row.elements;
      report.nonzeros += *row.nonzeros;
      if (pool_statistics(cpu_device).cached > kMaxCached) trim_pool(cpu_device);
      progress.advance();
    }
    report.rows.push_back(row);
  }
  return report;
}

ordered_json optional_json(const std::optional<double>& value) { return value ? ordered_json(*value) : ordered_json(); }

void print_json(const FileInfo& info, const Report& report, bool with_density) {
  ordered_json tensors = ordered_json::array();
  ordered_json refused = ordered_json::array();
  for (const Row& row : report.rows) {
    const TensorInfo& tensor = *row.tensor;
    ordered_json one{{"name", tensor.name},
                     {"dtype", tensor.dtype},
                     {"shape", tensor.shape},
                     {"offset", tensor.offset},
                     {"bytes", tensor.nbytes},
                     {"density", row.nonzeros ? optional_json(density(*row.nonzeros, row.elements)) : ordered_json()}};
    if (tensor.layout != Layout::dense) one["layout"] = layout_name(tensor.layout);
    if (!tensor.file.empty()) one["file"] = tensor.file;
    if (!tensor.tied_to.empty()) one["tied_to"] = tensor.tied_to;
    if (!tensor.axes.empty()) one["axes"] = tensor.axes;
    if (tensor.quantization) {
      one["quantization"] = {{"scales", tensor.quantization->scales.size()}, {"axis", tensor.quantization->axis}};
    }
    tensors.push_back(std::move(one));
    if (!tensor.storage) refused.push_back({{"name", tensor.name}, {"reason", refusal(tensor)}});
  }
  const ordered_json out{
      {"path", info.path.string()},
      {"format", info.format},
      {"elements", report.elements},
      {"bytes", report.nbytes},
      {"density", with_density ? optional_json(density(report.nonzeros, report.counted)) : ordered_json()},
      {"metadata", info.metadata},
      {"tensors", std::move(tensors)},
      {"refused", std::move(refused)}};
  // A path need not be UTF-8; names and metadata were checked when they were read.
  std::cout << out.dump(2, ' ', false, ordered_json::error_handler_t::replace) << '\n';
}

void print_table(const Report& report) {
  std::size_t name_width = 4;
  std::size_t shape_width = 5;
  std::vector<std::string> names;
  for (const Row& row : report.rows) {
    names.push_back(printable(row.tensor->name, kMaxNameWidth));
    name_width = std::max(name_width, names.back().size());
    shape_width = std::max(shape_width, to_string(row.tensor->shape).size());
  }
  const auto line = [&](const std::string& name, const std::string& dtype, const std::string& shape,
                        const std::string& bytes, const std::string& share) {
    std::ostringstream out;
    out << std::left << std::setw(static_cast<int>(name_width)) << name << "  " << std::setw(11) << dtype << "  "
        << std::setw(static_cast<int>(shape_width)) << shape << "  " << std::right << std::setw(15) << bytes << "  "
        << std::setw(9) << share;
    return out.str();
  };
  std::cout << bold(line("name", "dtype", "shape", "bytes", "density")) << '\n';
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    const Row& row = report.rows[i];
    const auto share = row.nonzeros ? density(*row.nonzeros, row.elements) : std::nullopt;
    const bool sparse = row.tensor->layout != Layout::dense;
    std::cout << line(names[i], row.tensor->dtype + (sparse ? std::string(" ") + layout_name(row.tensor->layout) : ""),
                      to_string(row.tensor->shape), grouped(row.tensor->nbytes), share ? percent(*share) : "-")
              << (row.tensor->tied_to.empty() ? "" : "  = " + printable(row.tensor->tied_to, kMaxNameWidth)) << '\n';
  }
}

void print_text(const FileInfo& info, const Report& report, bool with_density) {
  std::cout << printable(info.path.string()) << ": " << info.format << ", " << counted(report.rows.size(), "tensor")
            << ", " << counted(report.elements, "element") << ", " << counted(report.nbytes, "byte");
  const auto share = density(report.nonzeros, report.counted);
  if (with_density && share) std::cout << ", density " << percent(*share);
  std::cout << '\n';
  for (const auto& [key, value] : info.metadata) {
    std::cout << "metadata " << printable(key, kMaxNameWidth) << " = " << printable(value, kMaxNameWidth) << '\n';
  }
  if (!report.rows.empty()) {
    std::cout << '\n';
    print_table(report);
  }
  for (const Row& row : report.rows) {
    if (row.tensor->storage) continue;
    std::cout << "refused " << printable(row.tensor->name, kMaxNameWidth) << ": " << refusal(*row.tensor) << '\n';
  }
}

}  // namespace

Action declare_inspect(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("PATH", options->path, "a model file, or a folder that holds one")->required();
  app.add_option("--select", options->load.select, "which model, where a folder or checkpoint holds several");
  app.add_flag("--json", options->json, "one JSON object (docs/schemas/inspect.schema.json)");
  app.add_flag("--no-density", options->no_density, "do not read the data to count zeros");
  return [options] {
    const ModelFile model(options->path, options->load);
    const Report report = read(model, !options->no_density);
    (options->json ? print_json : print_text)(model.info(), report, !options->no_density);
    return kSuccess;
  };
}

}  // namespace sparsert::tools
