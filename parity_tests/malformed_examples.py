"""Valid calls of public callables whose docstrings have none, for `parity_tests.malformed_calls`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_TINY = ">>> from lucid_port.modelzoo.vision_models import TinyInceptionV1 as Tiny\n>>> model = Tiny()\n"
_GRAPH = """
>>> import converters, lucid_port
>>> from pathlib import Path
>>> made = converters.convert(Path(lucid_port.__file__).parent / "modelzoo" / "data" / "TinyInceptionV1.pb")
"""
_ATTRIBUTION = """
>>> import numpy as np
>>> from lucid_port.attribution import attribute
>>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
>>> noise = np.random.RandomState(0).uniform(size=(40, 40, 3))
>>> given = {"prepare": False, "method": "gradient_x_activation"}
>>> found = attribute(TinyInceptionV1(), noise, "mixed4a:3", "mixed3b", **given)
"""
_INSPECTION = """
>>> import numpy as np
>>> from lucid_port.inspection import inspect
>>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
>>> found = inspect(TinyInceptionV1(), np.random.RandomState(0).uniform(size=(96, 96, 3)), layers=['mixed4a'])
"""
_FIGURE = """
>>> from lucid_port.figures.base import catalogue
>>> one = next(iter(catalogue().values()))
"""
_REDUCER = ">>> reducer = ChannelReducer(2, 'PCA')\n>>> data = np.random.RandomState(0).rand(4, 5, 6)\n"
_SAVED = """
>>> import numpy as np
>>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
>>> from lucid_port.optvis import param, render
>>> made = render.render_vis(TinyInceptionV1(), "mixed4a:3", lambda: param.image(16), thresholds=[1], verbose=False)
>>> picture, recipe = made[-1][0], made.recipe()
"""
_ATLAS = """
>>> one = ActivationAtlas('a', 1, *np.ones((2, 3, 2)) / 2, np.ones((1, 2)), np.zeros((1, 2)), *np.ones((3, 1)))
"""
_GRID = ">>> grid = ActivationGrid('a', np.ones((8, 8, 3)), np.ones((2, 3, 4)), np.ones((2, 3, 8, 8, 3)), np.ones(1))\n"
_PLAN = ">>> from pathlib import Path\n>>> plan = Plan('TinyInceptionV1', 'mixed4a:3', size=16, steps=1)\n"
_PICTURES = """
>>> from lucid_port.microscope.pictures import Pictures, preparation
>>> from lucid_port.modelzoo.preprocessing import Preprocessing
>>> pictures = Pictures([np.zeros((30, 40, 3)), np.ones((20, 20))], Preprocessing((8, 8)))
"""
_POOLED = (
    _TINY
    + """
>>> from lucid_port.microscope.examples import find_examples, pool_activations
>>> from lucid_port.microscope.pictures import Pictures, preparation
>>> noise = np.random.RandomState(0).uniform(size=(3, 96, 96, 3))
>>> given = Pictures(noise, preparation(model))
>>> pooled = pool_activations(model, given, ['mixed4a'], 'pooled', verbose=False)['mixed4a']
"""
)
_SITE = (
    _TINY
    + """
>>> from lucid_port.microscope.drawings import Drawings
>>> from lucid_port.microscope.run import make_site
>>> given = {"units": ["conv2d0:0-1"], "techniques": ["channel"], "verbose": False, "executor": "here"}
>>> site = make_site(model, "site", Drawings(6), layers=["conv2d0"], **given)
"""
)
_CROPS = """
>>> from lucid_port.microscope.examples import QUANTILES, Chosen, Examples
>>> from lucid_port.microscope.fields import Fields
>>> from lucid_port.microscope.pictures import Pictures
>>> from lucid_port.modelzoo.preprocessing import Preprocessing
>>> pictures = Pictures([np.zeros((30, 40, 3)), np.ones((20, 20))], Preprocessing((32, 32)))
>>> chosen = Chosen(np.zeros((2, 3), np.int32), np.ones((2, 3), np.float32), np.zeros((2, 3), np.uint32))
>>> examples = Examples(chosen, chosen, dict.fromkeys(QUANTILES, chosen), np.zeros(2, np.int32))
>>> fields = Fields("a", "places", (32, 32), (4, 4), (8.0, 8.0), (4.0, 4.0), np.ones(2, np.float32))
"""
_LINKS = """
>>> links = LinkSet(np.zeros((2, 3), np.int32), np.ones((2, 3)), np.zeros((2, 3), bool), np.ones((2, 3, 1, 1)))
"""
_SIMILAR = ">>> found = Similar(('a',), np.zeros((2, 1), int), np.zeros((2, 1), int), np.ones((2, 1)), 1)\n"
CALLS: Mapping[str, Sequence[str]] = {
    "converters.ConvertedModel.layer_module": [_GRAPH + ">>> made.layer_module('mixed4a')"],
    "converters.ConvertedModel.save": [_GRAPH + ">>> made.save('saved')"],
    "converters.ConvertedModel.subgraph": [_GRAPH + ">>> made.subgraph(['mixed4a'])"],
    "converters.ConvertedModel.to_onnx": [_GRAPH + ">>> made.to_onnx('written.onnx', ['mixed4a'])"],
    **{
        f"lucid_port.attribution.Attribution.{call.partition('(')[0]}": [_ATTRIBUTION + f">>> found.{call}"]
        for call in (
            "icons(1, steps=1, size=16)",
            "picture(icons=True, count=1, steps=1, size=16)",
            "ranked(3)",
            "save('a.png')",
            "show()",
        )
    },
    **{
        f"lucid_port.inspection.Inspection.{call.partition('(')[0]}": [_INSPECTION + f">>> found.{call}"]
        for call in ("html(count=1)", "icons(1, steps=1, size=16)", "save('a.html', count=1)", "show()")
    },
    **{
        f"lucid_port.inspection.{kind}.{call.partition('(')[0]}": [_INSPECTION + f">>> found.{owner}.{call}"]
        for kind, owner, call in (
            ("FeatureMaps", "feature_maps['mixed4a']", "strongest(3)"),
            ("FeatureMaps", "feature_maps['mixed4a']", "heat_map(3, (8, 9))"),
        )
    },
    "lucid_port.figures.base.Article": [">>> Article('Title', 'Author', 2020, 'https://distill.pub')"],
    "lucid_port.figures.base.Figure": [_FIGURE + ">>> import dataclasses\n>>> dataclasses.replace(one)"],
    "lucid_port.figures.base.figure": [
        ">>> from lucid_port.recipes.inputs import named_unit\n>>> units = Takes('a unit', [named_unit])\n"
        ">>> figure('own', 'Own', of='units', steps=2, options={'A': {}}, takes=units, see='the text')"
    ],
    "lucid_port.figures.base.Figure.options_for": [_FIGURE + ">>> one.options_for(None, False)"],
    "lucid_port.figures.base.Settings": [_TINY + ">>> Settings(model, {}, 4)"],
    **{
        f"lucid_port.modelzoo.aligned_activations.{call.partition('(')[0]}": [_TINY + f">>> {call}"]
        for call in (
            "get_aligned_activations(model.layers[0])",
            "layer_covariance(model.layers[0], model.layers[1])",
            "layer_inverse_covariance(model.layers[0])",
            "push_activations(np.ones((2, 3), np.float32), model.layers[0], model.layers[1])",
        )
    },
    "lucid_port.microscope.crops.CropLayer": [_CROPS + ">>> CropLayer('a', examples, fields)"],
    "lucid_port.microscope.crops.Crops": [">>> Crops({0: (30, 40)}, {}, 1)"],
    "lucid_port.microscope.crops.picture_rows": [_CROPS + ">>> picture_rows(pictures, {0: (40, 30), 1: (20, 20)})"],
    "lucid_port.microscope.crops.slots_of": [_CROPS + ">>> slots_of(examples)"],
    "lucid_port.microscope.crops.write_crops": [
        _CROPS + ">>> write_crops('crops', pictures, [CropLayer('a', examples, fields)], verbose=False)"
    ],
    "lucid_port.microscope.curves.Curves": [">>> Curves({'hue': [0, 1]}, {'hue': np.ones((3, 2))})"],
    "lucid_port.microscope.curves.Curves.rows": [">>> Curves({'hue': [0, 1]}, {'hue': np.ones((3, 2))}).rows(0)"],
    "lucid_port.microscope.details.LayerDetails": [">>> LayerDetails({0: {}}, [{'unit': 0}])"],
    "lucid_port.microscope.fields.Fields": [_CROPS],
    "lucid_port.microscope.fields.Fields.box": [_CROPS + ">>> fields.box(0, 3)"],
    "lucid_port.microscope.fields.some_images": [_CROPS + ">>> some_images(pictures, 2)"],
    "lucid_port.microscope.links.LinkSet": [_LINKS],
    "lucid_port.microscope.links.LinkSet.rows": [_LINKS + ">>> links.rows('a', 0)"],
    "lucid_port.microscope.links.Links": [
        _LINKS + ">>> Links(('a', 'b'), links, links, np.ones((2, 2)), np.ones((2, 2)))"
    ],
    "lucid_port.microscope.links.Similar": [_SIMILAR],
    "lucid_port.microscope.links.Similar.rows": [_SIMILAR + ">>> found.rows(0)"],
    "lucid_port.microscope.links.links_of": [_TINY + ">>> links_of(model, ['conv2d0', 'conv2d1'])"],
    "lucid_port.microscope.links.similar_units": [_POOLED + ">>> similar_units({'mixed4a': pooled}, 1, 1)"],
    "lucid_port.microscope.pictures.picture_hash": [">>> picture_hash('a.png')"],
    "lucid_port.microscope.run.make_site": [_SITE],
    "lucid_port.microscope.run.merge_site": [_SITE + ">>> merge_site(model, 'site', data=Drawings(6), verbose=False)"],
    "lucid_port.microscope.site.pages.Written": [">>> from pathlib import Path\n>>> Written(Path('index.html'), 1, 0)"],
    "lucid_port.microscope.site.pages.write_site": [_SITE + ">>> write_site('site')"],
    "lucid_port.microscope.tables.Site": [_SITE + ">>> Site(site.folder, site.manifest)"],
    "lucid_port.microscope.tables.SiteLayer": [_SITE + ">>> SiteLayer(site.folder, site.manifest['layers'][0])"],
    "lucid_port.microscope.tables.SiteLayer.details": [_SITE + ">>> site['conv2d0'].details(0)"],
    "lucid_port.microscope.tables.open_site": [_SITE + ">>> open_site('site')"],
    "lucid_port.microscope.tables.read_manifest": [_SITE + ">>> read_manifest('site')"],
    "lucid_port.microscope.tables.read_table": [_SITE + ">>> read_table('site/data/units.parquet')"],
    "lucid_port.microscope.tables.write_manifest": [
        _SITE
        + ">>> own = {name: value for name, value in site.manifest.items() if name not in ('format', 'version')}\n"
        ">>> write_manifest('site', own)"
    ],
    "lucid_port.microscope.tables.write_pictures": [
        _CROPS + ">>> from lucid_port.microscope.crops import picture_rows\n"
        ">>> write_pictures('tables', picture_rows(pictures, {0: (40, 30), 1: (20, 20)}))"
    ],
    "lucid_port.microscope.tables.write_units": [">>> write_units('tables', [{'layer': 'a', 'unit': 0}])"],
    "lucid_port.microscope.upkeep.Comparison": [">>> Comparison('a', (0,), np.ones(1), (('a', 0),), np.ones(1))"],
    "lucid_port.microscope.upkeep.Finding": [">>> Finding('a.html', 'is missing')"],
    "lucid_port.microscope.upkeep.check": [_SITE + ">>> check('site')"],
    "lucid_port.microscope.upkeep.compare": [_SITE + ">>> compare('site', 'site', 'both')"],
    "lucid_port.microscope.upkeep.is_removed": [_SITE + ">>> is_removed(site.manifest, 'a.png')"],
    "lucid_port.microscope.upkeep.remove": [_SITE + ">>> remove('site', 0)"],
    "lucid_port.microscope.examples.Examples": [
        _POOLED + ">>> import dataclasses\n>>> dataclasses.replace(find_examples(pooled, top=2))"
    ],
    "lucid_port.microscope.examples.Examples.save": [_POOLED + ">>> find_examples(pooled, top=2).save('examples')"],
    "lucid_port.microscope.examples.PooledLayer": [
        ">>> from pathlib import Path\n>>> PooledLayer('mixed4a', Path('.'), (), (1, 1), {})"
    ],
    "lucid_port.microscope.pictures.Batch": [">>> Batch(range(1), torch.zeros(1, 3, 8, 8), {})"],
    "lucid_port.microscope.pictures.Entry": [">>> Entry(0, 'a.png', 'a')"],
    "lucid_port.microscope.pictures.Pictures.label": [_PICTURES + ">>> pictures.label(0)"],
    "lucid_port.microscope.pictures.Pictures.original": [_PICTURES + ">>> pictures.original(0)"],
    "lucid_port.microscope.statistics.ClassMeans": [">>> ClassMeans(('a',), np.ones((2, 1)), np.ones(1, int))"],
    "lucid_port.microscope.statistics.Histograms": [
        ">>> Histograms(np.ones((2, 3), int), np.zeros(2, np.float32), np.ones(2, np.float32))"
    ],
    **{
        f"lucid_port.microscope.statistics.{call.partition('(')[0]}": [_POOLED + f">>> {call}"]
        for call in (
            "class_means(pooled, ['a', 'b', None])",
            "correlations(pooled, pooled)",
            "histograms(pooled, 8)",
            "sparseness(pooled)",
        )
    },
    "lucid_port.misc.channel_reducer.ChannelReducer.fit": [_REDUCER + ">>> reducer.fit(data)"],
    "lucid_port.misc.channel_reducer.ChannelReducer.transform": [
        _REDUCER + ">>> x = reducer.fit(data)\n>>> reducer.transform(data)"
    ],
    "lucid_port.misc.gl.glrenderer.MeshRenderer.draw": [
        ">>> from lucid_port.misc.gl.meshutil import check_mesh, torus\n"
        ">>> MeshRenderer((8, 6), backend='torch').draw(check_mesh(torus(8, 6)))"
    ],
    "lucid_port.misc.io.films.check_film_path": [">>> check_film_path('a.gif')"],
    "lucid_port.modelzoo.classes.class_number": [_TINY + ">>> class_number(model, 3)"],
    "lucid_port.modelzoo.huggingface": [">>> huggingface('google/vit-base-patch16-224', None)"],
    "lucid_port.modelzoo.timm": [">>> timm('test_resnet', None)"],
    "lucid_port.modelzoo.torchvision": [">>> torchvision('squeezenet1_1', None)"],
    "lucid_port.modelzoo.peers.load_lucent_weights": [
        ">>> from lucid_port.modelzoo.vision_models import TinyInceptionV1\n"
        ">>> load_lucent_weights(TinyInceptionV1().network, {'a': torch.ones(2)})"
    ],
    "lucid_port.modelzoo.peers.to_lucent_state_dict": [
        ">>> from lucid_port.modelzoo.vision_models import TinyInceptionV1\n"
        ">>> to_lucent_state_dict(TinyInceptionV1().network)"
    ],
    "lucid_port.modelzoo.vision_base.FrozenGraphModel": [
        ">>> FrozenGraphModel('.', {'type': 'frozen', 'model_path': 'a.pb', 'image_shape': [8, 8, 3]})"
    ],
    "lucid_port.modelzoo.vision_base.Model.get_activations": [
        _TINY + ">>> model.get_activations('mixed4a', np.zeros((2, 32, 32, 3), np.float32))"
    ],
    "lucid_port.modelzoo.vision_base.Model.get_layer": [_TINY + ">>> model.get_layer('mixed4a')"],
    "lucid_port.modelzoo.vision_base.Model.summary": [_TINY + ">>> model.summary((32, 32, 3))"],
    "lucid_port.modelzoo.vision_base.model_class": [">>> model_class(catalogue()['InceptionV1'])"],
    "lucid_port.modelzoo.vision_base.read_network": [">>> read_network('a.pb', None, None)"],
    "lucid_port.modelzoo.wordnet.id_from_synset": [
        ">>> class Shark:\n...     name, pos, offset = lambda s: 'shark', lambda s: 'n', lambda s: 3\n"
        ">>> id_from_synset(Shark())"
    ],
    "lucid_port.modelzoo.wordnet.imagenet_synset_from_description": [">>> imagenet_synset_from_description('shark')"],
    "lucid_port.modelzoo.wordnet.synset_from_id": [">>> synset_from_id('n01484850')"],
    "lucid_port.optvis.grammar.parse_one": [">>> parse_one('mixed4a:3')"],
    "lucid_port.optvis.many.contact_sheet.contact_sheet": [
        ">>> from PIL import Image\n>>> Image.new('RGB', (8, 6)).save('a.png')\n>>> contact_sheet('.')"
    ],
    "lucid_port.optvis.objectives.from_text.text_objective": [">>> text_objective('mixed4a:3')"],
    "lucid_port.optvis.param.Parameterization.map": [
        ">>> from lucid_port.optvis import param\n>>> param.image(8).map(torch.abs)"
    ],
    "lucid_port.optvis.param.Parameterization.reshape": [
        ">>> from lucid_port.optvis import param\n>>> param.image(8).reshape(1, 16, 4, 3)"
    ],
    "lucid_port.optvis.progress.LiveSheet": [">>> LiveSheet(3, 2)"],
    "lucid_port.optvis.progress.ManyProgress": [">>> ManyProgress(3, 2)"],
    "lucid_port.optvis.progress.ProgressBar": [">>> ProgressBar(3)"],
    "lucid_port.optvis.progress.TensorBoardLog": [">>> TensorBoardLog('log')"],
    "lucid_port.optvis.recipe_files.check_channels": [">>> check_channels(3, 'do this')"],
    "lucid_port.optvis.recipe_files.check_output": [">>> check_output('a.png', 3)"],
    "lucid_port.optvis.recipe_files.check_save_path": [">>> check_save_path('a.png')"],
    "lucid_port.optvis.recipe_files.compare_pictures": [_SAVED + ">>> compare_pictures('a.npy', picture)"],
    "lucid_port.optvis.recipe_files.read_document": [">>> read_document('a.json')"],
    "lucid_port.optvis.recipe_files.read_recipe": [">>> read_recipe('a.json')"],
    "lucid_port.optvis.recipe_files.refuse_another": [_SAVED + ">>> refuse_another('a.png', recipe)"],
    "lucid_port.optvis.recipe_files.save_picture": [_SAVED + ">>> save_picture(picture, 'a.png', recipe)"],
    "lucid_port.optvis.recipe_files.sidecar": [">>> sidecar('a.npy')"],
    "lucid_port.optvis.recipe.Recipe.differences": [_SAVED + ">>> recipe.differences()"],
    "lucid_port.optvis.recipe.Recipe.render_with_losses": [_SAVED + ">>> recipe.render_with_losses(made.vis.model)"],
    "lucid_port.optvis.recipe_files.save_film_with_recipe": [
        _SAVED + ">>> save_film_with_recipe([picture, picture], 'a.gif', recipe)"
    ],
    "lucid_port.optvis.recipe_plan.Plan.recipe": [_PLAN + _TINY + ">>> plan.recipe(model)"],
    "lucid_port.optvis.recipe_plan.Plan.run": [_PLAN + _TINY + ">>> plan.run(Path('planned.png'), model, [])"],
    "lucid_port.recipes.activation_atlas.ActivationAtlas.origins_of": [_ATLAS + ">>> one.origins_of(0)"],
    "lucid_port.recipes.activation_grid.ActivationGrid.scaled_mosaic": [_GRID + ">>> grid.scaled_mosaic()"],
    "lucid_port.optvis.render.VisT.evaluate": [
        _TINY + ">>> from lucid_port.optvis import param\n>>> vis = VisT(model, 'mixed4a:3', lambda: param.image(16))\n"
        ">>> vis.evaluate(['mixed4a:4'])"
    ],
}
"""Examples of valid calls for callables whose docstrings have none."""
