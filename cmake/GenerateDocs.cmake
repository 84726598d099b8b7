# tern-docs writes the reference of the dialects and passes into docs/dialects from their TableGen files.
# test/lit/Dialect/docs.test checks that what is committed is what it writes.
set(docs ${PROJECT_SOURCE_DIR}/docs/dialects)
set(generate ${MLIR_TABLEGEN_EXE} -I ${PROJECT_SOURCE_DIR})
foreach(directory ${MLIR_INCLUDE_DIRS})
  list(APPEND generate -I ${directory})
endforeach()
set(dialects ${PROJECT_SOURCE_DIR}/compiler/Dialect)
add_custom_target(tern-docs
  COMMAND ${generate} -gen-dialect-doc -dialect=tern ${dialects}/Tern/TernOps.td -o ${docs}/tern.md
  COMMAND ${generate} -gen-dialect-doc -dialect=plan ${dialects}/Plan/PlanOps.td -o ${docs}/plan.md
  COMMAND ${generate} -gen-pass-doc ${PROJECT_SOURCE_DIR}/compiler/Transforms/Passes.td -o ${docs}/passes.md
  VERBATIM)
