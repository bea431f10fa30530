// How large the models of the catalog are, so that whoever has no room for one can be told which
// form of it would fit, without asking a network. tests/modelfiles/catalog_test.cc holds the rows
// against the Modelfiles.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace glm::modelfiles {

struct CatalogSize {
  std::string_view name;        // "glm-4.7-flash:awq"
  std::string_view repository;  // as its Modelfile says FROM
  std::uint64_t weight_bytes;   // of all tensors in the files, to within 100 MB
};

std::span<const CatalogSize> catalog_sizes();

// Bytes of the weights in `repository`; 0 for what the catalog has not.
std::uint64_t catalog_size(std::string_view repository);

// The other forms of the model that comes from `repository`; none for what the catalog has not.
std::vector<CatalogSize> other_forms(std::string_view repository);

}  // namespace glm::modelfiles
