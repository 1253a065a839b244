// tools/sweep/sweep.cpp — `sparsert sweep`: accuracy, bytes and latency of a network at each share of zeros.
#include "tools/sweep/sweep.hpp"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <memory>

#include "tools/cli.hpp"

namespace sparsert::tools {
namespace {

struct Options {
  std::string model;
  std::string data;
  std::vector<double> amounts{0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99};
  std::string html;
  std::string device;
  bool json = false;
};

/// The devices to time: the one asked for, else the CPU and every CUDA device.
std::vector<Device> chosen_devices(const std::string& name) {
  if (!name.empty()) {
    const Device device = Device::parse(name);
    require(device.type == Device::Type::cpu || device.type == Device::Type::cuda, [&] {
      return "sweep: --device is " + name +
             ", expected cpu or cuda: the proof devices are slow, and every sweep verifies them";
    });
    require_usable(device);
    return {device};
  }
  std::vector<Device> out;
  for (const Device& device : devices()) {
    if (device.type == Device::Type::cpu || device.type == Device::Type::cuda) out.push_back(device);
  }
  return out;
}

void write_page(const std::string& path, const sweep::Report& report) {
  std::ofstream out(path, std::ios::binary);
  sweep::write_html(out, report);
  out.flush();
  if (!out) throw FileError(path + ": cannot write");
}

int run(Options options) {
  std::sort(options.amounts.begin(), options.amounts.end());
  options.amounts.erase(std::unique(options.amounts.begin(), options.amounts.end()), options.amounts.end());
  const std::vector<Device> devices = chosen_devices(options.device);
  const bool shipped = options.model.empty();
  const sweep::Network network =
      sweep::load_network(shipped ? sweep::data_file("digits_mlp.safetensors") : std::filesystem::path(options.model));
  const sweep::HeldOut held_out = sweep::load_held_out(
      options.data.empty() ? sweep::data_file("digits.safetensors") : std::filesystem::path(options.data), network);
  const sweep::Report report = sweep::measure(network, held_out, options.amounts, devices);
  if (!options.html.empty()) write_page(options.html, report);
  (options.json ? sweep::write_json : sweep::write_text)(std::cout, report);
  return kSuccess;
}

}  // namespace

Action declare_sweep(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::Option* const data =
      app.add_option("--data", options->data, "safetensors with images, labels and, if there, split (not 0: held out)");
  app.add_option("MODEL", options->model, "safetensors of an MLP; without it, the digits network that ships")
      ->needs(data);
  app.add_option("--amounts", options->amounts, "shares of zeros, separated by commas")
      ->delimiter(',')
      ->check(share())
      ->capture_default_str();
  app.add_option("--html", options->html, "also write a page to look at");
  app.add_option("--device", options->device, "cpu, cuda or cuda:N (default: the CPU and every CUDA device)");
  app.add_flag("--json", options->json, "one JSON object (docs/schemas/sweep.schema.json)");
  return [options] { return run(*options); };
}

}  // namespace sparsert::tools
