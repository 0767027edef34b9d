"""Real datasets of page layouts: how many samples, and texts compared with their pictures by eye."""

from __future__ import annotations

import unicodedata

import pytest

from .folders import detected, samples


@pytest.fixture(scope="module")
def read(shared):
    """Folder -> picture -> sample, each folder read once by its detected format."""
    found: dict[str, dict] = {}

    def read(name):
        if name not in found:
            found[name] = {sample.images[0]: sample for sample in samples(shared / "data" / name)}
        return found[name]

    return read


@pytest.mark.parametrize(
    "folder, format_name, num_samples",
    [
        ("ocrd_fraktur_pages", "page_xml", 6),
        ("fondue_en_print", "alto", 10),
        ("fondue_es_print", "alto", 7),
        ("stanford_letters", "alto", 4),
        ("icdar2013_table_pdfs", "icdar2013", 36),
        ("docbank_arxiv", "docbank", 24),
    ],
)
def test_every_page_is_a_sample_of_its_detected_format(
    shared, read, folder, format_name, num_samples
):
    assert detected(shared / "data" / folder) == format_name
    assert len(read(folder)) == num_samples
    assert all(sample.text.strip() and sample.regions for sample in read(folder).values())


# the old letters of the transcription: a vowel with a small e above it
AE, OE, UE = "\ue42c", "\ue644", "\ue72b"


@pytest.mark.parametrize(
    "page, text",
    [
        (
            "0043",
            f"""— 33 —

Schleſiſche Kuppe gewiß nicht: wir nennen es
das Gl{UE}hen der Alpen. Kommt, ſetzt Euch
dort unter die breit{AE}ſtige Buche, da iſt immer
des Abends mein Pl{AE}tzchen darum hat auch
unſer alter Senn ein weiches Moosbett
mir unter dem Schatten gezimmert.“

Wir ſetzten uns. Ringsum bl{UE}hten rothe
Weidenr{OE}ſlein*), Thymian, rother Schwin-
gel**), Mannsſchild***), Enzian und Ei-
ſenh{UE}tlein†)- und tauſend andere herrliche
Blumen; und das liebliche Stendelkraut††)
w{UE}rzte die Abend-Luft, mit ſeinem Vanillen-
geruch.

Mimili holte aus ihrem K{OE}rbchen ein

*) Epilobium alpium angustifolium
**) Festuca rubra
***) Androsace villosa; die Blume iſt milchweiß,
mit gr{UE}nen und rothen Sternen.
†) wird 4 bis 5 Fuß hoch, und bl{UE}ht blau und
gelb.
††) Satyrium nigrum.

3""",
        ),
        (
            "0023",  # its footnotes are missing in the reading order
            f"""— 13 —

„Niemer*),“ antwortete er, „aber zu
Abig kommt oft die Jungfer herauf und
ſchl{AE}ft hier.“

„Wer iſt die Jungfer?“
„Die Tochter meines Herrn.***)“

Ich ſprang auf; der Senner ging ihr ent-
gegen; – noch ſah ich ſie nicht, der Weg
kam hinter der H{UE}tte herauf, – ſie rief ihm
mit einer ſehr wohlklingenden Stimme zu:
„guten Abend, R{UE}tli, ich werde heut bei Euch
bleiben, es ſchonet, und s'iſt ſchankli†).“

Der Senner mußte ihr von mir ſagen;
denn ich h{OE}rte, daß er von Außerer††)
ſprach; ſie ward ſtill, und wahrſcheinlich z{OE}-

*) Niemand.
**) Abend.
***) Die Senner ſind bekanntlich nur die Hirten
der K{UE}he, die wohlhabenden Alpenbeſitzern
geh{OE}ren.
†) Der Abend iſt ſch{OE}n, und es iſt der Anſchein
da, daß es morgen auch gut Wetter iſt.
††) Von einem Fremden.""",
        ),
        (
            "0031",
            """— 21 —

„B'huͤtis Gott!*) fiel ſie mir laͤchelnd
ins Wort, „was wuͤrdet Ihr denken von
mir, wenn ich hier oben blieb, da Ihr hier
ſeid. Das muͤßte ja ein wuͤſcht Maidli***)
ſeyn. Nein, ich werde ein wenig mit Euch
noch verweile, wenn Ihr mir erlaubt, und
dann gehe ich nach Haus, und ſende Euch
j'Nachteße***) herauf, denn der Senn hat
nichts, als neimis Rauf†), Schlipmilch und
Schnitze††).“

Sie ſprach gern und viel, und so traulich,
wie ein Kind, und dann doch wieder ſo ver-
ſtaͤndig und unterrichtet, wie kaum ein Maͤd-
chen aus unſern erſten Zirkeln. Ihr Schwei-
zeriſch-Hochdeutſch klang in ihrem kleinen

*) Gott bewahre.
**) Leichtfertiges, unbeſonnenes Maͤdchen.
***) Abendeſſen.
†) Etwas Brodrinde.
††) Buttermilch und Backobſt.""",
        ),
    ],
)
def test_pages_of_fraktur_are_in_reading_order(read, page, text):
    name = f"clauren_mimil_1815/GT-PAGE/clauren_mimil_1815_{page}.jpg"
    assert read("ocrd_fraktur_pages")[name].text == text


@pytest.mark.parametrize(
    "page, beginning, end",
    [
        (
            "Dracula/05dracula.pdf_page_51.png",
            " Holmwood introduced him to me, and he called here to see us, and often comes\n"
            "now. I think he is one of the most resolute men I ever saw, and yet the most\n",
            "\nLucy\nP.S.--I need not tell you this is a secret. Goodnight again. L.\n"
            "LETTER, LUCY WESTENRA TO MINA MURRAY\n24 May",
        ),
        (
            "Dracula/05dracula.pdf_page_52.png",
            "My dearest Mina,\nThanks, and thanks, and thanks again for your sweet letter. It was so nice\n"
            "to be able to tell you and to have your sympathy.\n My dear, it never rains but it pours.",
            "",
        ),
        (
            "Mysteries_of_Udolpho/radcliffe_udolpho.pdf_page_29.png",
            "St. Aubert, when he had recovered from the terror occasioned him by this\n"
            "accident, expressed surprise on seeing Valancourt, who explained his unexpected\n",
            "\n\n28",
        ),
    ],
)
def test_english_novels_line_by_line(read, page, beginning, end):
    text = read("fondue_en_print")[page].text
    assert text.startswith(beginning) and text.endswith(end)


@pytest.mark.parametrize(
    "page, beginning",
    [
        (
            19,
            """BUENOS AIRES EN EL AÑO 2080
I

El 15 de Octubre del año de gracia
2080, á las nueve de la mañana, Dn. Pe¬
dro, Gobernador de la Provincia de Colu¬
guape, en la Patagonia Central, recibió de
Buenos Aires el despacho telegráfico si¬
guiente:–"Ministro Obras Públicas es¬
pera esta noche á su hijo Enrique."
""",
        ),
        (
            39,
            """HISTORIA VEROSIMIL

31

III

En ese momento se llegaba á la esta¬
cion marítima de Buenos Aires. Es un in¬
menso perístilo de marmol de los Andes,
""",
        ),
        (
            112,
            """104

BUENOAS AIRES EN EL AÑO 2080

nos, y que ya no nos consideremos verda¬
deramente grandes sino por el alma, la
inteligencia y el bien.
""",
        ),
    ],
)
def test_a_spanish_novel_with_its_headers_and_headings(read, page, beginning):
    name = f"aquiles_sioen_buenos_aires_en_el/Buenos_Aires_en_el_ano_2080.pdf_page_{page}.png"
    text = read("fondue_es_print")[name].text
    assert unicodedata.normalize("NFC", text).startswith(beginning)
    assert page != 19 or "recibio\u0301 de" in text  # kept as written: an accent of its own


@pytest.mark.parametrize(
    "letter, text",
    [
        (
            "Page10-Lettre250/Lettre250.jpg",
            """D. W. Earl & Co.
Office of
Crocker Building.
San Francisco,
MAR 20 1905
190
Dr Branner Esq
Dear sir
Acting President
I am in receipt of your
request to act as Pallbear at the
funeral of Dear Mrs Stanford
and will be honored in being
at Palo Alto on the 24th as requested.
Yours Sincerely
D. W. Earl""",
        ),
        (
            "Page11-12-Lettres251-252/Lettre251.jpg",
            """Washington, DC.
March 4, 1905
To Dr. David Starr Jordan:
We are deep in sor-
row. Feeling as we do, we
must extend to you, who knew
and loved Mrs. Stanford so well,
our sincerest sympathies. Any
mention of our debt to her is
quite impossible, for we have
received so much more at her
hands than can be ever count-
ed or even adequately realized.""",
        ),
        (
            "Page11-12-Lettres251-252/Lettre252.jpg",
            """We can only say that
we grieve with you; and
feel, closer than ever before,
the bond that has always
joined us, through this
greatest loss the University
has suffered.
The Stanford Association
of Washington, D.C.
Mrs. George H. Ashley,
A. F. W. Schmidt,
Bristow Adams.""",
        ),
    ],
)
def test_letters_by_hand_and_typewriter(read, letter, text):
    assert read("stanford_letters")[f"by_yagmur_ozturk/{letter}"].text == text


def rows(*lines):
    cells = ("".join(f"<td>{cell}</td>" for cell in line.split("|")) for line in lines)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


@pytest.mark.parametrize(
    "page, text",
    [
        (
            "competition-dataset-eu/eu-007.pdf#page=1",
            rows(
                "|Up-market|Medium|Down-market",
                "Procter &amp; Gamble|Ariel|Vizir|Bonux",
                "Lever|Skip|Omo|Persil",
                "Henkel|Le Chat|Super Croix|",
                "Colgate-Palmolive|Dash|Axion|Gama",
            ),
        ),
        (
            "competition-dataset-us/us-027.pdf#page=2",  # its rows and columns count from 1
            rows(
                "Age|Enrollment|%",
                "14-17|231,000|1.3",
                "18-19|3,769,000|21.2",
                "20-21|3,648,000|20.5",
                "22-24|3,193,000|18.0",
                "25-29|2,401,000|13.5",
                "30-34|1,409,000|7.9",
                "Over 35|3,107,000|17.5",
                "Total|17,758,000|100",
            ),
        ),
        (
            "competition-dataset-us/us-030.pdf#page=2",
            '<table><tr><td rowspan="2">Cycle Name</td><td rowspan="2">KI (1/km)</td><td rowspan="2">Distance (mi)</td><td colspan="4">Percent Fuel Savings</td></tr>'
            "<tr><td>Improved Speed</td><td>Decreased Accel</td><td>Eliminate Stops</td><td>Decreased Idle</td></tr>"
            + rows(
                "2012_2|3.30|1.3|5.9%|9.5%|29.2%|17.4%",
                "2145_1|0.68|11.2|2.4%|0.1%|9.5%|2.7%",
                "4234_1|0.59|58.7|8.5%|1.3%|8.5%|3.3%",
                "2032_2|0.17|57.8|21.7%|0.3%|2.7%|1.2%",
                "4171_1|0.07|173.9|58.1%|1.6%|2.1%|0.5%",
            ).removeprefix("<table>"),
        ),
    ],
)
def test_tables_of_government_reports(read, page, text):
    assert read("icdar2013_table_pdfs")[page].text == text


@pytest.mark.parametrize(
    "page, pieces",
    [
        (
            "246.tar_1808.08720.gz_conll2018_3_ori.jpg",  # two columns, a table, footnotes
            [
                "(Merity et al., 2017) yes 57.3\nbaseline yes 56.6 ± 0.2\nsparse LSTM yes 57.0 ± 0.2",
                "Table 1: Language modeling for PTB\n(mean ± stdev).",
                "the same number of parameters for N = 3 and\nγ = 0.555. These values are obtained by identi-\nfying both expressions. Note that the equality in\n",
                "overﬁts more strongly than the baseline, especially\nduring the ﬁnetune step. We hypothesize that the\nregularization effect of a priori limiting interac-",
                "6The ‘ﬁnetune’ step indicates hot-starting the Averaged\nStochastic Gradient Descent optimization once more, after\nconvergence in the initial optimization step (Merity et al.,\n2017).",
                "tions between dimensions does not compensate for\nthe increased expressiveness of the model due to\nthe larger hidden state size.",
                "\n\n4 Sparse Word Embeddings\n\nGiven a vocabulary with V words, we want to\n",
                "\n\n4.1 Word-Frequency based Embedding Size\n\nPredeﬁned sparseness in word embeddings\n",
            ],
        ),
        (
            "71.tar_1803.05570.gz_draft_eta_p_enu_2_ori.jpg",  # an abstract over both columns
            [
                "\n\nj Currently at: Center for Underground Physics, Institute for Basic Science, Daejeon 34126, Korea",
                "uncertainties are statistical and systematic, respectively. In addition, we perform a measurement of\n",
                "CLEO-c experiment.\n\nKeywords: BESIII, charm semileptonic decay, form factor",
                "\n\nI. INTRODUCTION\n\nCharm semileptonic (SL) decays involve both the\nc-quark weak decay and the strong interaction. In\nthe Standard Model, the Cabibbo-Kobayashi-Maskawa\n(CKM) matrix [1] describes the mixing among the quark\n",
                "collaboration measured the BF for D+ → ηe+ν and\n",
                "tively. In this paper, we present new measurements of\n",
                "\n\nII. THE BESIII DETECTOR\n\nThe Beijing Spectrometer (BESIII) detects e+e− col-\nlisions produced by the double-ring collider BEPCII.\n",
                "\n\nIII. MC SIMULATION\n\nMonte Carlo (MC) simulation serves to estimate the\ndetection eﬃciencies and to understand background com-\n",
            ],
        ),
        (
            "146.tar_1805.09876.gz_mpbt_biometrics_1_ori.jpg",  # one column, with wide leading
            [
                "Testing small study eﬀects in multivariate meta-analysis 1\n\n1. Introduction\n\nIn the last several decades, systematic reviews and meta-analyses have received increasing\nattention in comparative eﬀectiveness research and evidence-based medicine. Meta-analysis\n",
                "outcomes) in small studies are also important sources for SSE.\n\nSSE (including PB) is arguably the greatest threat to the validity of meta-analysis (Schwarzer\net al., 2015). Erroneous",
                "\n\nAmong the many statistical methods on this issue, funnel plots have been commonly used\n",
                "widely at the bottom of the funnel plot, while those from larger studies scatter narrowly",
            ],
        ),
    ],
)
def test_scientific_papers_are_read_column_by_column(read, page, pieces):
    text = read("docbank_arxiv")[page].text
    places = [text.find(piece) for piece in pieces]
    assert -1 not in places, pieces[places.index(-1)]
    assert places == sorted(places)


def test_the_pages_of_a_paper_are_one_document(read):
    groups = {sample.group for sample in read("docbank_arxiv").values()}
    assert "80.tar_1605.00521.gz_323" in groups and "80.tar_1803.09023.gz_20180323" in groups
    assert len(groups) == 24
