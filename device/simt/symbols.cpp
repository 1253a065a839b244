// device/simt/symbols.cpp — reads the ELF symbol table: kernels are local symbols, which dladdr does not see.
#include "device/simt/symbols.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <vector>

namespace sparsert::simt {
namespace {

/// A loaded file and where it lies.
struct Module {
  std::string path;
  std::uintptr_t base = 0;
};

Module module_of(const void* function) {
  Dl_info info{};
  link_map* map = nullptr;
  if (dladdr1(function, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0 || map == nullptr) return {};
  const bool program = map->l_name == nullptr || *map->l_name == '\0';
  return {program ? "/proc/self/exe" : map->l_name, map->l_addr};
}

template <class T>
std::vector<T> read_array(std::ifstream& file, std::uint64_t offset, std::uint64_t bytes) {
  std::vector<T> items(bytes / sizeof(T));
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(items.data()), static_cast<std::streamsize>(items.size() * sizeof(T)));
  if (!file) items.clear();
  return items;
}

/// The mangled name of the function at `address` of the file, "" if it has no symbol.
std::string mangled_name(const std::string& path, std::uintptr_t address) {
  std::ifstream file(path, std::ios::binary);
  const auto header = read_array<Elf64_Ehdr>(file, 0, sizeof(Elf64_Ehdr));
  if (header.empty() || header[0].e_shentsize != sizeof(Elf64_Shdr)) return {};
  const auto sections = read_array<Elf64_Shdr>(file, header[0].e_shoff, header[0].e_shnum * sizeof(Elf64_Shdr));
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    const Elf64_Shdr& strings = sections[section.sh_link];
    const auto names = read_array<char>(file, strings.sh_offset, strings.sh_size);
    for (const Elf64_Sym& symbol : read_array<Elf64_Sym>(file, section.sh_offset, section.sh_size)) {
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_value != address) continue;
      if (symbol.st_name < names.size()) return names.data() + symbol.st_name;
    }
  }
  return {};
}

std::string demangle(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status),
                                                    std::free);
  return status == 0 && text ? text.get() : mangled;
}

std::string look_up(const void* function) {
  const Module module = module_of(function);
  const std::string mangled = mangled_name(module.path, reinterpret_cast<std::uintptr_t>(function) - module.base);
  if (!mangled.empty()) return short_name(demangle(mangled));
  std::ostringstream text;
  text << "kernel at " << function;
  return text.str();
}

}  // namespace

std::string short_name(const std::string& demangled) {
  constexpr std::string_view kAnonymous = "(anonymous namespace)";
  std::string plain = demangled;
  for (std::size_t at; (at = plain.find(kAnonymous)) != std::string::npos;) plain.erase(at, kAnonymous.size());
  // The name ends where the parameters begin: the first parenthesis outside angle brackets.
  std::size_t begin = 0;
  int depth = 0;
  std::size_t i = 0;
  for (; i < plain.size(); ++i) {
    const char c = plain[i];
    if (c == '<') ++depth;
    if (c == '>') --depth;
    if (depth != 0) continue;
    if (c == '(') break;
    if (c == ' ') begin = i + 1;
    if (c == ':') begin = i + 1;
  }
  std::string name = plain.substr(begin, i - begin);
  // Namespaces inside the template arguments say nothing either.
  for (std::size_t at; (at = name.find("::")) != std::string::npos;) {
    std::size_t from = at;
    while (from > 0 && (std::isalnum(static_cast<unsigned char>(name[from - 1])) || name[from - 1] == '_')) --from;
    name.erase(from, at + 2 - from);
  }
  return name;
}

std::string kernel_name(const void* function) {
  static std::mutex mutex;
  static auto* const names = new std::map<const void*, std::string>;
  const std::lock_guard lock(mutex);
  const auto [it, fresh] = names->try_emplace(function);
  if (fresh) it->second = look_up(function);
  return it->second;
}

}  // namespace sparsert::simt
